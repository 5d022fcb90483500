// Command idle is the smallest thing a pod can run: it does nothing until it is told to end. It is also the sandbox
// process of every pod, which holds the pod's namespaces and reaps what its containers leave.
//
//	idle                     does nothing
//	idle write FILE TEXT     writes that file first, or fails
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "write" {
		if err := os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("uid %d wrote %s\n", os.Getuid(), os.Args[2])
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 {
				break
			}
		}
	}
}
