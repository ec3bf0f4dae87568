// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// errNotChosen means that neither a kubeconfig nor a flag chooses a cluster. In a pod the service
// account then does.
var errNotChosen = errors.New("no cluster is chosen")

// A notChosen says why no cluster is chosen.
type notChosen struct{ error }

func (n notChosen) Is(target error) bool { return target == errNotChosen }

// restConfig returns the configuration of the client. Without a cluster client-go would connect
// to localhost:8080.
func (o *options) restConfig() (*rest.Config, error) {
	loader := o.config.ToRawKubeConfigLoader()
	kubeconfig, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if err := o.checkCluster(kubeconfig, loader.ConfigAccess()); err != nil {
		if errors.Is(err, errNotChosen) {
			return o.inClusterConfig(err)
		}
		return nil, err
	}
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return config, nil
}

// inClusterConfig returns the configuration of a pod with the flags that say how to connect, or the
// error why no other cluster is chosen.
func (o *options) inClusterConfig(why error) (*rest.Config, error) {
	config, err := o.inCluster()
	if err != nil {
		return nil, why
	}
	flags, err := o.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the flags for the API server: %w", err)
	}
	config.Timeout, config.Impersonate, config.DisableCompression = flags.Timeout, flags.Impersonate, flags.DisableCompression
	if token := *o.config.BearerToken; token != "" {
		config.BearerToken, config.BearerTokenFile = token, ""
	}
	return config, nil
}

// checkCluster returns why neither the flags nor the kubeconfig name an API server.
func (o *options) checkCluster(kubeconfig api.Config, access clientcmd.ConfigAccess) error {
	files := foundFiles(access)
	contextName := cmp.Or(*o.config.Context, kubeconfig.CurrentContext)
	context, ok := kubeconfig.Contexts[contextName]
	if contextName != "" && !ok {
		return fmt.Errorf("the context %q does not exist in %s: %s", contextName, files, existing("context", kubeconfig.Contexts))
	}
	if *o.config.APIServer != "" || os.Getenv("KUBERNETES_MASTER") != "" {
		return nil
	}
	clusterName := *o.config.ClusterName
	if clusterName == "" && context != nil {
		clusterName = context.Cluster
	}
	cluster, ok := kubeconfig.Clusters[clusterName]
	switch {
	case clusterName == "" && context != nil:
		return fmt.Errorf("the context %q of %s names no cluster", contextName, files)
	case clusterName == "":
		return notChosen{whyNotChosen(kubeconfig, access, files)}
	case !ok:
		return fmt.Errorf("the cluster %q does not exist in %s: %s", clusterName, files, existing("cluster", kubeconfig.Clusters))
	case cluster.Server == "":
		return fmt.Errorf("the cluster %q of %s has no server", clusterName, files)
	}
	return nil
}

// whyNotChosen returns why a kubeconfig has no current context.
func whyNotChosen(kubeconfig api.Config, access clientcmd.ConfigAccess, files string) error {
	const choose = "or name the API server with --server"
	switch {
	case files == noFiles:
		return fmt.Errorf("no kubeconfig was found. These places were looked at:\n%s"+
			"Name a file with --kubeconfig or $KUBECONFIG, %s", places(access), choose)
	case len(kubeconfig.Contexts) == 0:
		return fmt.Errorf("%s has no contexts: name another file with --kubeconfig or $KUBECONFIG, %s", files, choose)
	default:
		return fmt.Errorf("%s has no current context: choose one with --context or kubectl config use-context, %s; %s",
			files, choose, existing("context", kubeconfig.Contexts))
	}
}

// noFiles is what foundFiles returns if there are none.
const noFiles = "the kubeconfig"

// foundFiles returns the files of the kubeconfig that exist.
func foundFiles(access clientcmd.ConfigAccess) string {
	var found []string
	for _, file := range access.GetLoadingPrecedence() {
		if _, err := os.Stat(file); err == nil {
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return noFiles
	}
	return "the kubeconfig " + strings.Join(found, " and ")
}

// places returns a line for each place in which there is no kubeconfig.
func places(access clientcmd.ConfigAccess) string {
	variable := ""
	if os.Getenv(clientcmd.RecommendedConfigPathEnvVar) != "" {
		variable = ", from $" + clientcmd.RecommendedConfigPathEnvVar
	}
	var b strings.Builder
	for _, file := range access.GetLoadingPrecedence() {
		if file == "" {
			continue
		}
		why := "does not exist"
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			why = fmt.Sprint(err)
		}
		fmt.Fprintf(&b, "  %s%s: %s\n", file, variable, why)
	}
	b.WriteString("  the service account of a pod: this is no pod, or it has no token\n")
	return b.String()
}

// existing returns the names of the contexts or clusters that exist.
func existing[T any](noun string, all map[string]T) string {
	if len(all) == 0 {
		return "it has no " + noun + "s"
	}
	return "the " + noun + "s are " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}
