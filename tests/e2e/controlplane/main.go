// Command controlplane is what the tests run real code of others with. Its first argument picks the part (a link named kubectl is kubectl):
//
//	etcd, kube-apiserver, kube-controller-manager, kubectl   the programs of these names
//	while-stdin PROGRAM ARGUMENTS...                         runs a program, and ends it when standard input ends
//	helm-values                                              computes values with the packages of Helm 3 and Helm 4, one JSON case per line
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

func main() {
	if filepath.Base(os.Args[0]) != "kubectl" {
		if len(os.Args) < 2 {
			usage()
		}
		// Each part reads os.Args as if it were a program of its own.
		os.Args = os.Args[1:]
	}
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		endWithStdin()
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		endWithStdin()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		endWithStdin()
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kubectl":
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
	case "while-stdin":
		os.Exit(whileStdin(os.Args[1:]))
	case "helm-values":
		if err := helmValues(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		usage()
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|kubectl|while-stdin|helm-values ...")
	os.Exit(2)
}
