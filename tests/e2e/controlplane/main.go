// Command controlplane is what the tests run real code of others with. Its first argument picks the part:
//
//	helm-values   computes values with the packages of Helm 3 and Helm 4, one JSON case per line
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "helm-values" {
		if err := helmValues(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "usage: controlplane helm-values < cases.jsonl")
	os.Exit(2)
}
