// Command controlplane is Kubernetes in one binary: etcd and each Kubernetes component as a subcommand, and "up",
// which starts a throw-away cluster of them. See README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	_ "time/tzdata"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// commands holds what the binary can be, by the name of the link it is called by or by its first argument.
var commands = map[string]func() int{
	"up":    up,
	"ctl":   ctl,
	"image": image,
	// What up starts.
	"inside":                  inside,
	"node":                    node,
	"sweep":                   sweep,
	"etcd":                    etcd,
	"kube-apiserver":          func() int { return run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() int { return run(controllers.NewControllerManagerCommand()) },
	"kube-scheduler":          func() int { return run(scheduler.NewSchedulerCommand()) },
	"kube-proxy":              func() int { return run(kubeproxy.NewProxyCommand()) },
	"kubelet":                 func() int { return run(newKubelet()) },
	"kubectl": func() int {
		kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
		return 0
	},
}

func run(c *cobra.Command) int { return cli.Run(c) }

// newKubelet calls its constructor, which has a context in newer releases of Kubernetes only.
func newKubelet() *cobra.Command {
	switch construct := any(kubelet.NewKubeletCommand).(type) {
	case func(context.Context) *cobra.Command:
		return construct(context.Background())
	case func() *cobra.Command:
		return construct()
	}
	panic("this release of Kubernetes makes a kubelet in another way: add it here")
}

func main() {
	if command, ok := commands[filepath.Base(os.Args[0])]; ok {
		os.Exit(command())
	}
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			os.Args = os.Args[1:] // cobra and flag read what follows
			os.Exit(command())
		}
	}
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: controlplane {%s} [flags]\n", strings.Join(names, "|"))
	os.Exit(2)
}

// must ends this process with one line when err is not nil. Nothing needs a clean end: whoever started this process,
// or the sweeper, removes what it made.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}
