// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/integration/cluster"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// The main example works on a real API server, as a separate process with only the rights
// of the manifest beside it. During the test another client deletes one of its executors.
func TestExampleScheduler(t *testing.T) {
	client := admin(t)
	t.Cleanup(func() { clearNamespace(t, client, metav1.NamespaceDefault) })
	runKubelet(t, client, metav1.NamespaceDefault)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig, serviceAccount(t, client, "../examples/rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	watching := newConsumer(t, "example", server.Config(), metav1.NamespaceDefault)

	var output bytes.Buffer
	scheduler := exec.CommandContext(t.Context(), buildProgram(t, "..", "./examples/scheduler"), "-kubeconfig", kubeconfig, "-app", appID, "-executors", "5", "-for", "6s")
	scheduler.Stdout, scheduler.Stderr = &output, &output
	scheduler.Cancel = func() error { return scheduler.Process.Signal(os.Interrupt) }
	scheduler.WaitDelay = patience
	begin := time.Now()
	if err := scheduler.Start(); err != nil {
		t.Fatal(err)
	}
	deleteWhileRunning(t, client, watching, "3")
	err := scheduler.Wait()
	t.Logf("after %v:\n%s", time.Since(begin).Round(time.Millisecond), &output)
	if err != nil {
		t.Errorf("the example failed: %v", err)
	}
	for _, part := range []string{"summary", "exit code 1 (Error)", "exit code 137 (OOMKilled)", "executor 3 is being deleted"} {
		if !strings.Contains(output.String(), part) {
			t.Errorf("the output does not contain %q", part)
		}
	}
	watching.mustAgree(t, client, "after the example")
	if left := watching.store.Snapshot().Len(); left != 0 {
		t.Errorf("%d executors were left behind, want none", left)
	}
}

// buildProgram builds a program of the module in a folder, and returns its path.
func buildProgram(t *testing.T, module, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", module, "-o", program, pkg).CombinedOutput(); err != nil {
		t.Fatalf("build %s in %s: %v\n%s", pkg, module, err, out)
	}
	return program
}

func deleteWhileRunning(t *testing.T, client kubernetes.Interface, watching *consumer, executorID string) {
	t.Helper()
	running := watching.waitFor(t, "executor "+executorID+" run", func(s watchsource.Snapshot) bool {
		e, _ := s.ByID(executorID)
		return e.State == watchsource.Running
	})
	e, _ := running.ByID(executorID)
	pod, err := e.Pod()
	if err != nil {
		t.Fatal(err)
	}
	remove(t, client, gracefully, pod)
}

// serviceAccount creates what a manifest holds, and returns the configuration
// of a program in a pod of the service account in it.
func serviceAccount(t *testing.T, client kubernetes.Interface, manifest string) *rest.Config {
	t.Helper()
	var account *corev1.ServiceAccount
	for _, object := range decode(t, manifest) {
		var err error
		switch object := object.(type) {
		case *corev1.ServiceAccount:
			account = object
			_, err = client.CoreV1().ServiceAccounts(object.Namespace).Create(t.Context(), object, metav1.CreateOptions{})
		case *rbacv1.Role:
			_, err = client.RbacV1().Roles(object.Namespace).Create(t.Context(), object, metav1.CreateOptions{})
		case *rbacv1.RoleBinding:
			_, err = client.RbacV1().RoleBindings(object.Namespace).Create(t.Context(), object, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	if account == nil {
		t.Fatalf("no service account in %s", manifest)
	}
	token, err := client.CoreV1().ServiceAccounts(account.Namespace).CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := "system:serviceaccount:" + account.Namespace + ":" + account.Name
	user{name: name}.awaitRight(t, client, account.Namespace, "watch", true)
	return withToken(token.Status.Token)
}

func decode(t *testing.T, manifest string) (objects []runtime.Object) {
	t.Helper()
	file, err := os.Open(manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	documents := yaml.NewDocumentDecoder(file)
	defer documents.Close()
	for content := make([]byte, 1<<16); ; {
		n, err := documents.Read(content)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(content[:n], nil, nil)
		if runtime.IsMissingKind(err) {
			continue // comments
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}
