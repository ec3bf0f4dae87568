.PHONY: quick test race bench integration versions servers proxies nightly

quick: ## before each commit
	.ci/run quick

test: ## everything
	.ci/run

race:
	.ci/run race

bench:
	cd bench && go run .

integration:
	.ci/run integration

versions: ## with other releases of client-go and Go
	.ci/run versions

servers: ## the integration tests on other servers and stores, hours
	.ci/run servers

proxies: ## through real proxies
	.ci/run proxies

nightly: ## what runs once a day, for a shorter time
	.ci/run fuzz 1m
	.ci/run seeds 20000
	.ci/run arm64
	.ci/run vulnerabilities
