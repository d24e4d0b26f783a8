package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// endWithStdin ends this process when its standard input ends: the test that started it holds the other end, and loses it however it ends.
func endWithStdin() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}

// whileStdin runs a program until it ends or standard input does, passes SIGTERM and SIGINT on, and answers the program's exit code.
// When this process is killed, the kernel kills the program.
func whileStdin(command []string) int {
	if len(command) == 0 {
		usage()
	}
	// The kernel's signal comes when the starting thread ends.
	runtime.LockOSThread()
	program := exec.Command(command[0], command[1:]...)
	program.Stdout, program.Stderr = os.Stdout, os.Stderr
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := program.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	go func() {
		for s := range signals {
			_ = program.Process.Signal(s)
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = program.Process.Kill()
	}()
	err := program.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 {
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return program.ProcessState.ExitCode()
}
