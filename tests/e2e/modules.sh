#!/bin/bash
# modules.sh - each action of the modules core and dns through the command line, as the reference documents it.
#
#        gateway host G                          host U, the way out
#   192.0.2.1/24 ------------------------------ 192.0.2.254/24, and DNS servers of all manners
#   qanat-gateway, interface qm$$
#
# The fields of each answer are compared with the reference's examples; what an action promises is looked at.
# QANAT_FAULT_BIN: directory of programs built with -Dfault_points=true; without it the steps cannot be killed.
. "$(dirname "$0")/lib.sh"
need python3 wg nft nsenter jq
if_g=qm$id
state=$work/state sock=$work/run/control.sock
q() { qanat --socket "$sock" --json "$@"; }
code() { q "$@" | jq -r 'if .success then "OK" else .code end'; }
error() { q "$@" | jq -r .error; }

for n in G U; do ns_add $n || exit 1; done
link_add G up0 U eth0 || exit 1
addr_add G up0 192.0.2.1/24
addr_add U eth0 192.0.2.254/24
ip -n "q${id}G" route add default via 192.0.2.254

bin=$QANAT_BIN with=(A=)
gateway_start() { # OPTION...
	rm -f "$work/ready"
	ns_spawn G gateway.log env "${with[@]}" "$bin/qanat-gateway" --state "$state" --socket "$sock" --interface "$if_g" \
		--ready-fd 9 "$@" 9>"$work/ready"
	gateway=$spawned
	wait_for 20 ready_or_dead && [ -s "$work/ready" ]
}
ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }

# fields NAME WANTED JQ-FILTER ANSWER: the names at the place are those of the reference, more may be there.
fields() {
	local missing
	missing=$(jq -r --arg want "$2" "($3) as \$o | (\$want / \" \") - (\$o | keys_unsorted) | join(\" \")" <<<"$4" 2>&1)
	check_eq "$1: the reference's fields" "" "$missing"
}

check "the gateway starts" gateway_start --dns 10.53.0.1,10.53.0.2
for c in alice bob carol; do check_eq "add $c" OK "$(code core add_client client_name=$c)"; done

# ---- dns ----

for i in {1..9}; do ip -n "q${id}U" addr add "10.53.0.$i/32" dev lo; done
ns_spawn U dns.log python3 "$top/tests/e2e/dns_server.py" 10.53.0.1=ok 10.53.0.2=slow 10.53.0.3=nxdomain 10.53.0.4=servfail \
	10.53.0.5=refused 10.53.0.6=silent 10.53.0.7=garbage 10.53.0.8=tcp # nobody at 10.53.0.9
check "the DNS servers listen" wait_for 10 grep -q ready "$work/dns.log"

a=$(q dns get_dns_servers)
fields get_dns_servers "primary secondary" .data "$a"
check_eq "get_dns_servers" "10.53.0.1 10.53.0.2" "$(jq -r '.data | "\(.primary) \(.secondary)"' <<<"$a")"

a=$(q dns test_dns_servers)
fields test_dns_servers "all_passed servers_tested results" .data "$a"
fields "test_dns_servers, a result" "server success status response_time_ms test_domain error" '.data.results[0]' "$a"
check_eq "both configured servers answer" "true 2 google.com" \
	"$(jq -r '.data | "\(.all_passed) \(.servers_tested) \(.results[0].test_domain)"' <<<"$a")"
check_eq "the slow one takes longer" true \
	"$(jq '.data.results | .[1].response_time_ms >= 300 and .[0].response_time_ms < .[1].response_time_ms' <<<"$a")"
check_eq "times have one digit behind the point" true \
	"$(jq '.data.results | all(.response_time_ms | tostring | test("^[0-9]+(\\.[0-9])?$"))' <<<"$a")"

before=$(date +%s%N)
(q dns test_dns_servers 'servers=["10.53.0.1","10.53.0.3","10.53.0.4","10.53.0.5","10.53.0.6","10.53.0.7","10.53.0.8","10.53.0.9","x"]' \
	domain=www.example.com >"$work/dns.all") &
all=$!
sleep 0.5 # it waits for the silent one now
check_eq "others are served meanwhile" OK "$(timeout 3 qanat --socket "$sock" --json core server_status | jq -r 'if .success then "OK" else . end')"
check_eq "at once" true "$([ $(($(date +%s%N) - before)) -lt 4000000000 ] && echo true)"
wait $all
a=$(cat "$work/dns.all")
check_eq "each manner has its status" "OK FAILED FAILED FAILED TIMEOUT ERROR OK ERROR" \
	"$(jq -r '[.data.results[].status] | join(" ")' <<<"$a")"
check_eq "an address that is none is left out" "false 8" "$(jq -r '.data | "\(.all_passed) \(.servers_tested)"' <<<"$a")"
check_eq "success is what the status says" true "$(jq '.data.results | all(.success == (.status == "OK"))' <<<"$a")"
check_has "NXDOMAIN is said" "$(jq -r '.data.results[1].error' <<<"$a")" '^NXDOMAIN for www\.example\.com$'
check_has "SERVFAIL is said" "$(jq -r '.data.results[2].error' <<<"$a")" '^SERVFAIL'
check_has "REFUSED is said" "$(jq -r '.data.results[3].error' <<<"$a")" '^REFUSED'
check_has "silence is said" "$(jq -r '.data.results[4].error' <<<"$a")" '^no answer within 5 s$'
check_has "garbage is said" "$(jq -r '.data.results[5].error' <<<"$a")" 'no answer to the question'
check_has "nobody there is said" "$(jq -r '.data.results[7].error' <<<"$a")" 'cannot be reached: Connection refused'
check_eq "no server that is one" VALIDATION_ERROR "$(code dns test_dns_servers 'servers=["x","1.2.3"]')"
check_eq "no list of servers" INVALID_PARAMETER "$(code dns test_dns_servers servers=5)"
check_eq "servers as a text" "true 2" "$(q dns test_dns_servers servers=10.53.0.1,10.53.0.8 | jq -r '.data | "\(.all_passed) \(.servers_tested)"')"
for d in 'a b' '-x.example' "x'; id" '..' 'a..b'; do
	check_eq "domain $(printf %q "$d") is refused" INVALID_PARAMETER "$(code dns test_dns_servers domain="$d")"
done

a=$(q dns status)
fields "dns status" "mode configuration health" .data "$a"
fields "dns status, configuration" "primary secondary" .data.configuration "$a"
fields "dns status, health" "status test_results" .data.health "$a"
fields "dns status, a server" "server tests" '.data.health.test_results[0]' "$a"
fields "dns status, a test" "domain success response" '.data.health.test_results[0].tests[0]' "$a"
check_eq "dns status is healthy" "standard healthy true 192.0.2.7" "$(jq -r '.data | "\(.mode) \(.health.status)
 \(.health.test_results[1].tests[1] | "\(.success) \(.response)")"' <<<"$a" | tr -d '\n')"

a=$(q dns change_dns_servers secondary=10.53.0.3)
fields change_dns_servers "success dns_servers client_configs_updated" .data "$a"
fields "change_dns_servers, dns_servers" "primary secondary previous_primary previous_secondary" .data.dns_servers "$a"
fields "change_dns_servers, client_configs_updated" "success message" .data.client_configs_updated "$a"
check_eq "change_dns_servers" "10.53.0.1 10.53.0.3 10.53.0.1 10.53.0.2" "$(jq -r '.data.dns_servers | [.[]] | join(" ")' <<<"$a")"
check_has "new exports use them" "$(q core export_client client_name=alice | jq -r .data.config)" '^DNS = 10\.53\.0\.1, 10\.53\.0\.3$'
check_eq "dns status is degraded" degraded "$(q dns status | jq -r .data.health.status)"
check_eq "nothing given" MISSING_PARAMETER "$(code dns change_dns_servers)"
for s in fd00::1 none 1.2.3 "1.1.1.1 " $'1.1.1.1\nx' ''; do
	check_eq "server $(printf %q "$s") is refused" INVALID_PARAMETER "$(code dns change_dns_servers primary="$s")"
done
check_eq "both or neither" INVALID_PARAMETER "$(code dns change_dns_servers primary=9.9.9.9 secondary=x)"
check_eq "nothing was changed" 10.53.0.1 "$(q dns get_dns_servers | jq -r .data.primary)"
kill -KILL "$gateway"; wait "$gateway" 2>/dev/null
check "starts again" gateway_start
check_eq "the change is durable" "10.53.0.1 10.53.0.3" "$(q dns get_dns_servers | jq -r '.data | "\(.primary) \(.secondary)"')"
