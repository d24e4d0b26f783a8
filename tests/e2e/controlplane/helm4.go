package main

import (
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/getter"
)

var getters4 = getter.All(cli.New())

// helm4Values does what `helm template` of Helm 4 does between reading its flags and writing manifests.
func helm4Values(c valuesCase) (map[string]string, error) {
	options := values.Options{
		ValueFiles: c.Files, JSONValues: c.JSON, Values: c.Set, StringValues: c.String, FileValues: c.File, LiteralValues: c.Literal,
	}
	user, err := options.MergeValues(getters4)
	if err != nil {
		return nil, err
	}
	var files []*archive.BufferedFile
	for name, text := range c.Chart {
		files = append(files, &archive.BufferedFile{Name: name, Data: []byte(text)})
	}
	chart, err := loader.LoadFiles(files)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(chart, user); err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: "m", Namespace: "milvus", Revision: 1, IsInstall: true}
	render, err := util.ToRenderValues(chart, user, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.Render(chart, render)
}
