package main

import (
	"context"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// clients is a client of the cluster's administrator, for what "inside" itself wants of the API server.
type clients struct {
	kubernetes.Interface
}

func newClients(kubeconfig string) *clients {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(err)
	config.QPS, config.Burst, config.UserAgent = -1, -1, "controlplane"
	set, err := kubernetes.NewForConfig(config)
	must(err)
	return &clients{set}
}

// await looks until look succeeds.
func await(what string, look func(context.Context) error) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := look(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited for %s: %w", what, err)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (c *clients) awaitServer() error {
	return await("the API server", func(ctx context.Context) error {
		return c.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// awaitDefaults waits for what must be there before a pod can be made in namespace "default".
func (c *clients) awaitDefaults() error {
	return await("the default service account", func(ctx context.Context) error {
		if _, err := c.CoreV1().ServiceAccounts("default").Get(ctx, "default", meta.GetOptions{}); err != nil {
			return err
		}
		_, err := c.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", meta.GetOptions{})
		return err
	})
}

// awaitNode waits until a node has said after that time that it is ready, and may be given pods.
func (c *clients) awaitNode(name string, since time.Time) error {
	since = since.Truncate(time.Second) // all that the API carries
	return await(name, func(ctx context.Context) error {
		object, err := c.CoreV1().Nodes().Get(ctx, name, meta.GetOptions{})
		if err != nil {
			return err
		}
		for _, taint := range object.Spec.Taints {
			return fmt.Errorf("it has taint %s", taint.Key)
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == core.NodeReady {
				if condition.Status == core.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(since) {
					return nil
				}
				return fmt.Errorf("it is not ready: %s", condition.Message)
			}
		}
		return fmt.Errorf("it says nothing")
	})
}
