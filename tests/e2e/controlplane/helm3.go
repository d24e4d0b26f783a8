package main

import (
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/getter"
)

var getters3 = getter.All(cli.New())

// helm3Values does what `helm template` of Helm 3 does between reading its flags and writing manifests.
func helm3Values(c valuesCase) (map[string]string, error) {
	options := values.Options{
		ValueFiles: c.Files, JSONValues: c.JSON, Values: c.Set, StringValues: c.String, FileValues: c.File, LiteralValues: c.Literal,
	}
	user, err := options.MergeValues(getters3)
	if err != nil {
		return nil, err
	}
	var files []*loader.BufferedFile
	for name, text := range c.Chart {
		files = append(files, &loader.BufferedFile{Name: name, Data: []byte(text)})
	}
	chart, err := loader.LoadFiles(files)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependenciesWithMerge(chart, user); err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "m", Namespace: "milvus", Revision: 1, IsInstall: true}
	render, err := chartutil.ToRenderValues(chart, user, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.Render(chart, render)
}
