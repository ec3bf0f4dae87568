#!/usr/bin/env bash
# UnmarshalJSONStrict of Grafana's foundation SDK for Go returns an error that is not nil and has no text
# for a valid document: an empty list of errors. "if err != nil" is always true. The text of the
# error, or the length of cog.BuildErrors, shows whether the document is valid.
#
# Seen with github.com/grafana/grafana-foundation-sdk/go 0.0.22. Needs Go 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	var v dashboard.VariableModel
	err := v.UnmarshalJSONStrict([]byte(`{"type":"datasource","name":"source"}`))
	var all cog.BuildErrors
	isList := errors.As(err, &all)
	fmt.Printf("valid: err == nil is %t, text %q, a list: %t, of %d errors, name %q\n", err == nil, fmt.Sprint(err), isList, len(all), v.Name)
	err = v.UnmarshalJSONStrict([]byte(`{"type":"datasource","name":"source","colour":"red"}`))
	fmt.Printf("unknown field: %q\n", err.Error())
}
GO
go mod init finding >log 2>&1
go get github.com/grafana/grafana-foundation-sdk/go@v0.0.22 >log 2>&1 || { tail log; exit 1; }
go mod tidy >log 2>&1 || { tail log; exit 1; }
go build -o finding .
seen=$(./finding)
echo "$seen"
want='valid: err == nil is false, text "", a list: true, of 0 errors, name "source"
unknown field: "VariableModel: unexpected field '\''colour'\''"'
[ "$seen" = "$want" ] || { echo "this has changed"; exit 1; }
