package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A valuesCase is a chart and what a user gives for it.
type valuesCase struct {
	// Chart holds the chart's files by path; each template prints one line, base64 of .Values as JSON.
	Chart map[string]string `json:"chart"`
	// Inputs holds files that flags name, by file name.
	Inputs map[string]string `json:"inputs"`
	// Flags in the order of the command line.
	Files   []string `json:"files"`
	JSON    []string `json:"set_json"`
	Set     []string `json:"set"`
	String  []string `json:"set_string"`
	File    []string `json:"set_file"`
	Literal []string `json:"set_literal"`
}

// A valuesResult is what one Helm makes of a case: what each chart's template printed, or the error.
type valuesResult struct {
	Values map[string]json.RawMessage `json:"values,omitempty"`
	Error  string                     `json:"error,omitempty"`
}

type valuesAnswer struct {
	Helm3 valuesResult `json:"helm3"`
	Helm4 valuesResult `json:"helm4"`
}

func helmValues(in io.Reader, out io.Writer) error {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	folder, err := os.MkdirTemp("", "helm-values-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.Chdir(folder); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	answers := bufio.NewWriter(out)
	encoder := json.NewEncoder(answers)
	for {
		line, readErr := lines.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			var c valuesCase
			if err := json.Unmarshal(line, &c); err != nil {
				return fmt.Errorf("a case cannot be read: %w", err)
			}
			if err := writeInputs(folder, c.Inputs); err != nil {
				return err
			}
			if err := encoder.Encode(valuesAnswer{Helm3: guarded(helm3Values, c), Helm4: guarded(helm4Values, c)}); err != nil {
				return err
			}
			// The test waits for each answer.
			if err := answers.Flush(); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// writeInputs puts the files that flags name into the working folder. Left-overs of earlier cases are overwritten or unused.
func writeInputs(folder string, inputs map[string]string) error {
	for name, text := range inputs {
		if name != filepath.Base(name) {
			return fmt.Errorf("%q is not a plain file name", name)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// guarded turns a panic of Helm's into its answer.
func guarded(render func(valuesCase) (map[string]string, error), c valuesCase) (result valuesResult) {
	defer func() {
		if r := recover(); r != nil {
			result = valuesResult{Error: fmt.Sprintf("panic: %v", r)}
		}
	}()
	manifests, err := render(c)
	if err != nil {
		return valuesResult{Error: err.Error()}
	}
	values := map[string]json.RawMessage{}
	for name, text := range manifests {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return valuesResult{Error: fmt.Sprintf("%s printed no base64: %v", name, err)}
		}
		if !json.Valid(raw) {
			return valuesResult{Error: fmt.Sprintf("%s printed no JSON: values cannot be written as JSON", name)}
		}
		values[path.Dir(path.Dir(name))] = raw
	}
	return valuesResult{Values: values}
}
