// Command argocd is what a test runs Argo CD with. Its first argument picks the part:
//
//	application-controller, repo-server ARGUMENTS...   Argo CD's programs of these names
//	redis ADDRESS                                      a Redis server, in memory
//	charts ADDRESS FOLDER                              a chart repository over HTTP
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	applicationcontroller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/argoproj/argo-cd/v3/util/log"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	// Each part reads os.Args as if it were a program of its own.
	os.Args = os.Args[1:]
	var err error
	switch arguments := os.Args[1:]; {
	case os.Args[0] == "application-controller":
		err = argocd(applicationcontroller.NewCommand())
	case os.Args[0] == "repo-server":
		err = argocd(reposerver.NewCommand())
	case os.Args[0] == "redis" && len(arguments) == 1:
		err = redis(arguments[0])
	case os.Args[0] == "charts" && len(arguments) == 2:
		err = http.ListenAndServe(arguments[0], http.FileServer(http.Dir(arguments[1])))
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// argocd runs a program of Argo CD's as its own main does.
func argocd(command *cobra.Command) error {
	klog.SetLogger(log.NewLogrusLogger(log.NewWithCurrentConfig()))
	return command.Execute()
}

// redis serves until it is killed. Keys expire to the second.
func redis(address string) error {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(address); err != nil {
		return err
	}
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
	return nil
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: argocd application-controller|repo-server ARGUMENTS... | redis ADDRESS | charts ADDRESS FOLDER")
	os.Exit(2)
}
