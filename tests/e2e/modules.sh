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

# ---- service ----

a=$(q core service_logs lines=2)
fields service_logs "logs count service lines_requested source" .data "$a"
check_eq "service_logs: as many as asked for" "2 2 2" "$(jq -r '.data | "\(.count) \(.lines_requested) \(.logs | length)"' <<<"$a")"
check_has "service_logs: lines with their time" "$(jq -r '.data.logs[-1]' <<<"$a")" '^20..-..-..T[0-9:.]*Z (info|warn|error) [a-z_.]+'
check_eq "service_logs: too many" INVALID_PARAMETER "$(code core service_logs lines=100000)"
for k in $(q core list_clients | jq -r '.data.clients[].name'); do
	q core export_client client_name=$k | jq -r '.data.client | .private_key, .preshared_key'
done >"$work/keys"
check_eq "no key is in the log" "" "$(grep -Ff "$work/keys" <(q core service_logs lines=1000; cat "$work/gateway.log"))"

a=$(q core get_firewall_status)
fields get_firewall_status "ufw iptables nat ports status" .data "$a"
fields "get_firewall_status, ufw" "status port_51820" .data.ufw "$a"
fields "get_firewall_status, iptables" "forward_policy nat_rules" .data.iptables "$a"
fields "get_firewall_status, nat" "masquerade interface" .data.nat "$a"
fields "get_firewall_status, ports" "51820/udp 22/tcp" .data.ports "$a"
check_eq "get_firewall_status" "active ACCEPT enabled up0 open closed" "$(jq -r '.data | "\(.status) \(.iptables.forward_policy) \(.nat.masquerade) \(.nat.interface) \(.ports["51820/udp"]) \(.ports["22/tcp"])"' <<<"$a")"
ns G nft delete table inet "qanat_$if_g"
check_has "a table that is gone is seen, or back already" "$(q core get_firewall_status | jq -r .data.status)" 'active'

pid=$(q core server_status | jq -r .data.service.pid)
(qanat --socket "$sock" --json dns test_dns_servers servers=10.53.0.6 >"$work/interrupted") & # waits 5 s
waiting=$!
sleep 0.3
a=$(q core restart_service)
fields restart_service "restarted service_active interface_up service message" .data "$a"
check_eq "restart_service: it is back when it answers" "true true true" "$(jq -r '.data | "\(.restarted) \(.service_active) \(.interface_up)"' <<<"$a")"
check_eq "the same process" "$pid" "$(q core server_status | jq -r .data.service.pid)"
check_eq "which has started anew" true "$(q core service_logs lines=1000 | jq '.data.logs | any(contains("gateway.ready"))')"
wait $waiting
check_eq "what was under way is answered" SERVICE_ERROR "$(jq -r .code "$work/interrupted")"
check_eq "its clients are there" 3 "$(ns G wg show "$if_g" peers | wc -l)"

# ---- files ----

a=$(q core show_file name=clients.db | jq -r .data.content)
fields "clients.db, a client" "name ip private_key public_key preshared_key created enabled" '._default["1"]' "$a"
fields "clients.db, an address" "ip client_name assigned_at" '.ip_assignments["1"]' "$a"
check_eq "clients.db has the key that is exported" "$(q core export_client client_name=alice | jq -r .data.client.private_key)" \
	"$(jq -r '._default[] | select(.name == "alice") | .private_key' <<<"$a")"
a=$(q core show_file name=phantom.json | jq -r .data.content)
fields phantom.json "version wireguard server tweaks dns multihop" . "$a"
fields "phantom.json, wireguard" "interface port network" .wireguard "$a"
fields "phantom.json, server" "ip private_key public_key" .server "$a"
fields "phantom.json, dns" "primary secondary" .dns "$a"
fields "phantom.json, multihop" "enabled active_exit vpn_interface_name updated_at" .multihop "$a"
check_eq "phantom.json has the server's key" "$(jq -r .server.private_key <<<"$a" | wg pubkey)" "$(jq -r .server.public_key <<<"$a")"
a=$(q core show_file name=wg_main.conf | jq -r .data.content)
check_has "wg_main.conf" "$a" '^ListenPort = 51820$'
check_has "wg_main.conf names the clients" "$a" '^# Client: alice$'
check_has "wg_main.conf says what wg-quick would have to do" "$a" \
	'^PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o up0 -j MASQUERADE$'
check_has "and how it is undone" "$a" \
	'^PostDown = iptables -D FORWARD -i %i -j ACCEPT; iptables -t nat -D POSTROUTING -o up0 -j MASQUERADE$'
check_eq "another file" CONFIG_NOT_FOUND "$(code core show_file name=../../etc/passwd)"

# ---- subnet ----

a=$(q core get_subnet_info)
fields get_subnet_info "current_subnet subnet_size clients server_ip can_change blockers main_interface warnings" .data "$a"
fields "get_subnet_info, clients" "total total_configured active clients" .data.clients "$a"
fields "get_subnet_info, a client" "ip created last_seen" .data.clients.clients.alice "$a"
fields "get_subnet_info, blockers" "ghost_mode multihop active_connections" .data.blockers "$a"
fields "get_subnet_info, main_interface" "interface ip network" .data.main_interface "$a"
check_eq "get_subnet_info" "10.8.0.0/24 256 10.8.0.1 up0 192.0.2.0/24" "$(jq -r '.data | "\(.current_subnet) \(.subnet_size) \(.server_ip) \(.main_interface.interface) \(.main_interface.network)"' <<<"$a")"
a=$(q core validate_subnet_change new_subnet=10.9.0.0/25)
fields validate_subnet_change "valid new_subnet current_subnet checks warnings errors ip_mapping_preview" .data "$a"
fields "validate_subnet_change, checks" "subnet_size private_subnet network_conflicts capacity blockers" .data.checks "$a"
fields "validate_subnet_change, size" "valid usable_ips prefixlen" .data.checks.subnet_size "$a"
fields "validate_subnet_change, private" "valid private_range" .data.checks.private_subnet "$a"
fields "validate_subnet_change, conflicts" "valid conflicts" .data.checks.network_conflicts "$a"
fields "validate_subnet_change, capacity" "valid usable_ips required_ips utilization_after" .data.checks.capacity "$a"
fields "validate_subnet_change, preview" "total_mappings mappings" .data.ip_mapping_preview "$a"
check_eq "validate_subnet_change" "true 126 4" "$(jq -r '.data | "\(.valid) \(.checks.subnet_size.usable_ips) \(.ip_mapping_preview.total_mappings)"' <<<"$a")"
ip -n "q${id}U" addr add 10.20.0.1/16 dev lo
ip -n "q${id}G" addr add 10.20.0.2/16 dev up0
a=$(q core validate_subnet_change new_subnet=10.20.5.0/24)
check_eq "a conflict is named" "false up0 10.20.0.0/16" "$(jq -r '.data | "\(.valid) \(.checks.network_conflicts.conflicts[0] | .interface + " " + .network)"' <<<"$a")"
check_eq "it is refused" VALIDATION_ERROR "$(code core change_subnet new_subnet=10.20.5.0/24 confirm=true)"
check_eq "without a yes" VALIDATION_ERROR "$(code core change_subnet new_subnet=10.9.0.0/25)"

whole() { # NETWORK SERVER/LEN CLIENT...: store, device and host say the same.
	local net=$1 server=$2 got want
	shift 2
	got=$(q core get_subnet_info | jq -r '.data | .current_subnet, (.clients.clients[] | .ip)' | sort | xargs)
	want=$(printf '%s\n' "$net" "$@" | sort | xargs)
	[ "$got" = "$want" ] || { echo "store: $got, wanted $want"; return 1; }
	got=$(ns G wg show "$if_g" allowed-ips | grep -o '[0-9.]*/32' | sort | xargs)
	want=$(printf '%s/32\n' "$@" | sort | xargs)
	[ "$got" = "$want" ] || { echo "device: $got, wanted $want"; return 1; }
	got=$(ip -n "q${id}G" -4 -o addr show dev "$if_g" | awk '{print $4}' | xargs)
	[ "$got" = "$server" ] || { echo "interface: $got, wanted $server"; return 1; }
	got=$(ns G nft list table inet "qanat_$if_g")
	grep -q "ip saddr $net" <<<"$got" || { echo "the nft table does not have $net"; return 1; }
}
old=(10.8.0.0/24 10.8.0.1/24 10.8.0.2 10.8.0.3 10.8.0.4)
new=(10.9.0.0/25 10.9.0.1/25 10.9.0.2 10.9.0.3 10.9.0.4)
check "before the change" whole "${old[@]}"
a=$(q core change_subnet new_subnet=10.9.0.0/25 confirm=true)
fields change_subnet "success old_subnet new_subnet clients_updated backup_id ip_mapping" .data "$a"
check "after the change" whole "${new[@]}"
backup=$state/backups/$(jq -r .data.backup_id <<<"$a")
check_eq "the backup" "backup_metadata.json clients.db firewall_rules.json phantom.json wg_main.conf" "$(ls "$backup" | xargs)"
check_eq "is its owner's only" "600 700" "$(stat -c %a "$backup"/* | sort -u | xargs) $(stat -c %a "$backup")"
check_eq "and has no keys in it" "" "$(grep -rFf "$work/keys" "$backup")"
check_has "exports have the new address and length" "$(q core export_client client_name=alice | jq -r .data.config)" '^Address = 10\.9\.0\.2/25'
stop "$gateway"
check "the option of before does not stop the next start" gateway_start --network 10.9.0.0/25
check "after a start" whole "${new[@]}"
check_eq "and back" OK "$(code core change_subnet new_subnet=10.8.0.0/24 confirm=true)"
check "all is as before" whole "${old[@]}"
stop "$gateway"
check "an option that was overruled is passed over" gateway_start --network 10.9.0.0/25
check "and changes nothing" whole "${old[@]}"
stop "$gateway"

# ---- killed at each step of a change ----

if [ -n "${QANAT_FAULT_BIN:-}" ]; then
	bin=$QANAT_FAULT_BIN
	cp -a "$state" "$work/state.old"
	change() { q core change_subnet new_subnet=10.9.0.0/25 confirm=true >"$work/change.out" 2>&1; }
	points() { grep -c '^fault' "$work/gateway.log"; }
	with=(QANAT_FAULT_TRACE=1)
	check "starts to count the steps" gateway_start
	first=$(points)
	check "changes to count the steps" change
	last=$(points)
	stop "$gateway"
	# Every step near the commit, which is among the last; of those in front as many as there is time for.
	stride=$(((last - first) / ${MODULES_CRASHES:-40} + 1))
	n_old=0 n_new=0 n_bad=0
	for ((k = first + 1; k <= last; k += k < last - 8 ? stride : 1)); do
		rm -rf "$state"
		cp -a "$work/state.old" "$state"
		rm -f "$work/counter"
		with=("QANAT_CRASH_AT=$k" QANAT_FAULT_COUNTER="$work/counter")
		if ! gateway_start; then n_bad=$((n_bad + 1)); not_ok "killed at step $k" "it died before the change"; continue; fi
		change
		answered=$(jq -r .success "$work/change.out" 2>/dev/null)
		if ! wait_for 5 gone "$gateway"; then not_ok "killed at step $k" "it lives"; stop "$gateway"; continue; fi
		wait "$gateway" 2>/dev/null
		with=(A=)
		if ! gateway_start; then
			n_bad=$((n_bad + 1))
			not_ok "killed at step $k" "it does not start again: $(tail -n 1 "$work/gateway.log")"
			continue
		fi
		if whole "${new[@]}" >"$work/whole.new"; then
			n_new=$((n_new + 1))
		elif [ "$answered" = true ]; then
			not_ok "killed at step $k" "the answer was success, and the new network is not there"
		elif whole "${old[@]}" >"$work/whole.old"; then
			n_old=$((n_old + 1))
		else
			not_ok "killed at step $k" "neither: $(cat "$work/whole.old" "$work/whole.new")"
		fi
		stop "$gateway"
	done
	echo "# $((last - first)) steps; killed: $n_old times the old network, $n_new times the new one"
	check "killed in front of the commit and behind it" [ "$n_old" -ge 5 -a "$n_new" -ge 1 -a "$n_bad" -eq 0 ]
	with=(A=) bin=$QANAT_BIN
else
	skip "killed at each step of a change" "needs QANAT_FAULT_BIN, programs with fault points"
fi

# ---- an installation from before ----

phantom=$work/phantom
mkdir -p "$phantom/config" "$phantom/data"
server_key=$(wg genkey) john_key=$(wg genkey) psk=$(wg genpsk)
jq -n --arg k "$server_key" --arg p "$(wg pubkey <<<"$server_key")" '{version: "core-v1",
	wireguard: {interface: "wg_main", port: 51999, network: "10.66.0.0/24"}, server: {ip: "198.51.100.7", private_key: $k, public_key: $p},
	tweaks: {restart_service_after_client_creation: false}, dns: {primary: "9.9.9.9", secondary: "1.1.1.1"},
	multihop: {enabled: false, active_exit: null, vpn_interface_name: "wg_vpn"}}' >"$phantom/config/phantom.json"
jq -n --arg k "$john_key" --arg p "$(wg pubkey <<<"$john_key")" --arg s "$psk" '{_default: {"1": {name: "john-laptop", ip: "10.66.0.7",
	private_key: $k, public_key: $p, preshared_key: $s, created: "2025-01-30T10:15:00", enabled: true}}}' >"$phantom/data/clients.db"
mv "$state" "$work/state.before"
check "a new gateway starts" gateway_start --port 51998
a=$(q core import_installation path="$phantom" dry_run=true)
check_eq "a dry run shows it" "true 1 0" "$(jq -r '.data | "\(.dry_run) \(.clients | length) \(.clients_imported)"' <<<"$a")"
check_eq "and changes nothing" "10.8.0.0/24 0" "$(q core get_subnet_info | jq -r '.data | "\(.current_subnet) \(.clients.total)"')"
check_eq "import" OK "$(code core import_installation path="$phantom")"
check_eq "the server is the one from before" "$(wg pubkey <<<"$server_key")" "$(ns G wg show "$if_g" public-key)"
check_eq "at its port" 51999 "$(ns G wg show "$if_g" listen-port)"
check "its client is live, network and all" whole 10.66.0.0/24 10.66.0.1/24 10.66.0.7
check_eq "with its preshared key" "$psk" "$(ns G wg show "$if_g" preshared-keys | cut -f2)"
a=$(q core export_client client_name=john-laptop)
check_eq "and its private key" "$john_key" "$(jq -r .data.client.private_key <<<"$a")"
check_has "an export names the server from before" "$(jq -r .data.config <<<"$a")" '^Endpoint = 198\.51\.100\.7:51999$'
check_eq "once more is once too many" VALIDATION_ERROR "$(code core import_installation path="$phantom")"
stop "$gateway"
check "it starts again" gateway_start --port 51998
check "and is that server still" whole 10.66.0.0/24 10.66.0.1/24 10.66.0.7
check_eq "at its port, whatever the option of before says" 51999 "$(ns G wg show "$if_g" listen-port)"
for f in clients.db phantom.json wg_main.conf; do q core show_file name=$f | jq -r .data.content >"$work/view.$f"; done
stop "$gateway"
rm -rf "$state"
mkdir "$work/views"
for f in clients.db phantom.json wg_main.conf; do mv "$work/view.$f" "$work/views/$f"; done
check "another new gateway starts" gateway_start
check_eq "what show_file shows can be imported" OK "$(code core import_installation path="$work/views")"
check "to the same effect" whole 10.66.0.0/24 10.66.0.1/24 10.66.0.7
check_eq "with the key" "$john_key" "$(q core export_client client_name=john-laptop | jq -r .data.client.private_key)"
stop "$gateway"

# ---- help ----

for module in core dns; do
	for action in $(qanat $module --help | sed -n 's/^  \([a-z_]*\)  .*/\1/p'); do
		check_has "qanat $module $action --help" "$(qanat $module $action --help 2>&1)" "^Usage: qanat $module $action"
	done
done
