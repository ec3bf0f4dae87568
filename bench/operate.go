// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/go-logr/logr"
	runtimelog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// An operatorAssignment is what the process of an operator has to do.
type operatorAssignment struct {
	operator   string
	kubeconfig string
	sizes      ownerSizes
	limit      time.Duration // of the wait for the last reconcile
	settle     time.Duration // for reconciles that come after it
}

// operatorFigures are the reconciles and the cost of an operator, from the beginning of the scenario until
// the statuses have all changes, and for a settle time more. README.md says what each means.
type operatorFigures struct {
	ViewSeconds      float64 `json:"viewSeconds"`      // wall time from the start until the statuses of all owners are written
	FirstReconciles  int     `json:"firstReconciles"`  // of the first owner
	SecondReconciles int     `json:"secondReconciles"` // of the second owner
	RestReconciles   int     `json:"restReconciles"`   // of all other owners
	FirstSeen        int64   `json:"firstSeen"`        // when the status of the first owner had all ends, Unix time in nanoseconds, 0 for never
	SecondSeen       int64   `json:"secondSeen"`       // the same of the second owner
	Ended            int64   `json:"ended"`            // when the wait ended
	CPUSeconds       float64 `json:"cpuSeconds"`
	ViewHeapBytes    float64 `json:"viewHeapBytes"` // retained before the scenario
	HeapBytes        float64 `json:"heapBytes"`     // retained per pod after the scenario
	PeakBytes        float64 `json:"peakBytes"`     // most resident memory of the process
	Goroutines       int     `json:"goroutines"`
}

// operate runs one operator through the scenario, and measures it.
func operate(ctx context.Context, a operatorAssignment, out io.Writer) error {
	o, err := operatorNamed(a.operator)
	if err != nil {
		return err
	}
	empty, err := readCollected()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reconciled := newReconcileLog(a.sizes)
	m, failed, err := startOperator(ctx, o, a.kubeconfig, reconciled)
	if err != nil {
		return err
	}
	if err := await(ctx, reconciled.complete, failed); err != nil {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	f := operatorFigures{ViewSeconds: time.Since(empty.at).Seconds()}
	time.Sleep(a.settle)
	before, err := readCollected()
	if err != nil {
		return err
	}
	reconciled.begin()
	fmt.Fprintln(out, readyLine)
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	if err := await(limited, reconciled.ended, failed); err != nil && (limited.Err() == nil || ctx.Err() != nil) {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	f.Ended = time.Now().UnixNano()
	time.Sleep(a.settle)
	if err := f.read(a.sizes, empty, before); err != nil {
		return err
	}
	runtime.KeepAlive(m)
	f.add(reconciled.counts())
	return json.NewEncoder(out).Encode(f)
}

func runOperate(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var a operatorAssignment
	flags := newFlags(operateCommand)
	a.sizes.flags(flags)
	flags.StringVar(&a.operator, "operator", "", "`name` of the operator")
	flags.StringVar(&a.kubeconfig, "kubeconfig", "", "`file` that says where the server is")
	flags.DurationVar(&a.limit, "limit", time.Minute, "longest wait for the last reconcile")
	flags.DurationVar(&a.settle, "settle", 0, "time for reconciles that come after it")
	if err := parse(flags, args); err != nil {
		return err
	}
	ctx, cancel := withInput(ctx, in)
	defer cancel()
	return operate(ctx, a, out)
}

// startOperator starts the manager of an operator. failed receives the error with which it ends.
func startOperator(ctx context.Context, o operator, kubeconfig string, reconciled *reconcileLog) (m manager.Manager, failed <-chan error, err error) {
	runtimelog.SetLogger(logr.Discard())
	config, err := loadConfig(kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	if m, err = newManager(config, o.leanCache); err != nil {
		return nil, nil, fmt.Errorf("%s: make a manager: %w", o.name, err)
	}
	if err := o.add(m, newReconciler(m.GetClient().Status(), reconciled)); err != nil {
		return nil, nil, fmt.Errorf("%s: add a controller: %w", o.name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	return m, ended, nil
}

// await returns when closed is closed, and otherwise why it was not.
func await(ctx context.Context, closed <-chan struct{}, failed <-chan error) error {
	select {
	case <-closed:
		return nil
	case err := <-failed:
		return fmt.Errorf("the manager has ended: %w", errors.Join(err, context.Cause(ctx)))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read reads what the scenario cost.
func (f *operatorFigures) read(sizes ownerSizes, empty, before reading) error {
	after, err := readUsage()
	if err != nil {
		return err
	}
	f.Goroutines = runtime.NumGoroutine()
	end, err := readCollected()
	if err != nil {
		return err
	}
	most, err := peakMemory()
	if err != nil {
		return err
	}
	f.CPUSeconds = (after.cpu - before.cpu).Seconds()
	f.ViewHeapBytes = grown(empty, before)
	f.HeapBytes = grown(empty, end) / float64(sizes.pods())
	f.PeakBytes = float64(most)
	return nil
}

func (f *operatorFigures) add(r reconciles) {
	f.FirstReconciles, f.SecondReconciles, f.RestReconciles = r.first, r.second, r.rest
	f.FirstSeen, f.SecondSeen = r.firstSeen, r.secondSeen
}
