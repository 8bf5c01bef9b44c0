#!/bin/bash
# agent_interfaces.sh - a panel makes further interfaces on a gateway, steers them while packets flow, and the gateway
# is killed at every step.
#
#    client host C (wireguard-go)              gateway host G
#    192.0.2.2             ------------------  192.0.2.1/24   qanat-gateway, agent API at 127.0.0.1:8080
#    10.9.0.2, fd09::2     ==================  10.9.0.1, fd09::1   the further interface
#
# usage: agent_interfaces.sh [ROUNDS]    ROUNDS of killing (default 12, two for each step)
. "$(dirname "$0")/lib.sh"
rounds=${1:-12}
own=qg$id if_g=qf$id
. "$top/tests/e2e/agent_lib.sh"
private_key=$(wg genkey)
status() { body GET /v1/status | jq -r "${1:-.wireguard.interfaces[\"$if_g\"].status}"; }

check "the gateway starts" gateway_start || cat "$work/gateway.log"

# ---- what cannot be made ----

check_eq "unknown interfaces" "404 404 404 404" "$(echo $(code GET $wg_path/dump) $(code POST $wg_path/enable) $(code DELETE $wg_path) \
	$(code GET $wg_path/config))"
ns_spawn G taken.log python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 51900)); time.sleep(900)'
wait_for 10 port_held G 51900
check_eq "a port that somebody else has" 409 "$(put "" '{listen_port: 51900, address: "10.9.0.1/24"}' | head -n 1)"
while IFS='|' read -r name want says fields; do
	got=$(put "" "$fields")
	check_has "refused: $name" "$(tr '\n' ' ' <<<"$got")" "^$want .*$says"
done <<-ROWS
	no address|400|address: a new interface needs|{listen_port: 51830}
	no address in it|400|address|{address: ""}
	the gateway's network|409|10\.8\.0\.5/24 overlaps with .* of interface $own|{address: "10.8.0.5/24"}
	the host's network|409|192\.0\.2\.9/28 overlaps with 192\.0\.2\.1/24 of interface up0|{address: "192.0.2.9/28"}
	the gateway's port|409|51820|{address: "10.9.0.1/24", listen_port: 51820}
	a broadcast address|400|broadcast|{address: "10.9.0.255/24"}
	loopback|400|127\.0\.0\.2|{address: "127.0.0.2/24"}
	a newline in the address|422|control character|{address: "10.9.0.1/24\\nPostUp = id"}
	a shell|400|post_up|{address: "10.9.0.1/24", post_up: "sh -c id"}
	an MTU too small for IPv6|400|mtu|{address: "fd09::1/64", mtu: 1000}
	a routing table|400|table|{address: "10.9.0.1/24", table: "1234"}
ROWS
check_has "a name that somebody else has" "$(put_at /v1/wg/up0 "" '{address: "10.9.0.1/24"}' | tr '\n' ' ')" '^409 .*up0 exists on this host'
check_eq "names that are none" "400 400" "$(echo $(put_at /v1/wg/a%2fb "" '{address: "10.9.0.1/24"}' | head -n 1) \
	$(put_at /v1/wg/-x "" '{address: "10.9.0.1/24"}' | head -n 1))"
check_eq "a dry run makes nothing" "200 404" "$(echo $(put '?dry_run=true' '{address: "10.9.0.1/24"}' | head -n 1) $(code GET $wg_path/config))"

# ---- making it, and bringing it up ----

form='{listen_port: 51830, address: "10.9.0.1/24, fd09::1/64", mtu: 1400, dns: "9.9.9.9"}'
check_eq "it is made, and not brought up" "success false" "$(put "" "$form" | tail -n +2 | jq -r '"\(.status) \(.reloaded)"')"
check_eq "as it was said" "51830 10.9.0.1/24, fd09::1/64 1400 9.9.9.9" "$(config | jq -r '"\(.listen_port) \(.address) \(.mtu) \(.dns)"')"
check_eq "it is down" "down 2" "$(status) $(status .wireguard.interface_count)"
# Its network is taken, although nothing of it is on the host.
check_has "the clients' network does not become its" "$(qanat --socket "$sock" --json core validate_subnet_change new_subnet=10.9.0.0/16)" \
	"10\.9\.0\.0/16 overlaps with 10\.9\.0\.0/24 of interface $if_g"
check_has "nor by force" "$(qanat --socket "$sock" --json core change_subnet new_subnet=10.9.0.0/25 confirm=true)" "overlaps with .* of interface $if_g"
check_has "another's does not either" "$(put_at /v1/wg/qh$id "" '{address: "10.9.0.200/25"}' | tr '\n' ' ')" "^409 .*overlaps with .* of interface $if_g"
stop "$gateway"
check "a start with it is refused" eval '! gateway_start --network 10.9.0.0/24'
check_has "by name" "$(cat "$work/gateway.log")" "network 10\.9\.0\.0/24 overlaps with an address of interface $if_g"
check "the gateway starts" gateway_start
check_eq "nothing of it is on the host" "" "$(ip -n "q${id}G" link show "$if_g" 2>/dev/null)"
check_eq "no key in the open" "" "$(grep -rl "$private_key" "$state" 2>/dev/null)"
pub=$(wg pubkey <<<"$private_key") key=$(wg genkey) peer=$(wg genkey | tee "$work/other" | wg pubkey) psk=$(wg genpsk)
mine=$(wg pubkey <<<"$key")
check_eq "a peer, while it is down" "200" "$(code POST $wg_path/peers "{\"public_key\":\"$mine\",\"allowed_ips\":[\"10.9.0.2/32\",\"fd09::2/128\"],\"preshared_key\":\"$psk\"}")"
check_eq "which is in the dump" "10.9.0.2/32 (hidden) null" "$(body GET $wg_path/dump | jq -r '.peers[0] | "\(.allowed_ips[0]) \(.preshared_key) \(.latest_handshake)"')"
check_eq "enable" true "$(field=.was_down text POST $wg_path/enable)"
check_eq "enable again" false "$(field=.was_down text POST $wg_path/enable whole)"
check_eq "it is up" "up" "$(status)"
check_eq "wg sees it" "$pub 51830" "$(ns G wg show "$if_g" public-key) $(ns G wg show "$if_g" listen-port)"
check_has "its addresses" "$(ip -n "q${id}G" -br addr show "$if_g")" '10\.9\.0\.1/24 .*fd09::1/64'
check_eq "its MTU" 1400 "$(ns G cat /sys/class/net/$if_g/mtu)"

ns_spawn C wireguard-go.log env WG_PROCESS_FOREGROUND=1 wireguard-go -f $dev
wait_for 20 test -S /var/run/wireguard/$dev.sock
to_port() { ns C wg set $dev peer "$pub" endpoint 192.0.2.1:$1; }
ns C wg set $dev private-key <(echo "$key") peer "$pub" preshared-key <(echo "$psk") endpoint 192.0.2.1:51830 \
	allowed-ips 10.9.0.0/24,fd09::/64 persistent-keepalive 1
addr_add C $dev 10.9.0.2/24 fd09::2/64
ip -n "q${id}C" link set $dev up
reaches() { ns C ping -c 1 -W 2 10.9.0.1; }
reaches6() { ns C ping -c 1 -W 2 fd09::1; }
check "packets flow" wait_for 20 reaches
[ "$failed" = 0 ] || exit # nothing of what follows could hold
check "of IPv6 as well" wait_for 5 reaches6

# ---- peers, while one of them counts its packets ----

pings_start C 10.9.0.1
dump() { body GET $wg_path/dump | jq -r ".peers[] | select(.public_key == \"$1\") | $2"; }
check_has "dump: handshake" "$(dump "$mine" .latest_handshake)" '^[0-9]{10}$'
check_has "dump: endpoint" "$(dump "$mine" .endpoint)" '^192\.0\.2\.2:'
check_eq "networks as a panel says" "192.168.5.0/24 10.9.0.3/32" "$(body POST $wg_path/peers \
	"{\"public_key\":\"$peer\",\"allowed_ips\":[\"192.168.5.9/24\",\"10.9.0.3/32\",\"192.168.5.0/24\"],\"persistent_keepalive\":7}" | jq -r '.peer.allowed_ips | join(" ")')"
check_eq "it is live" "192.168.5.0/24 10.9.0.3/32" "$(ns G wg show "$if_g" allowed-ips | grep -F "$peer" | cut -f 2)"
check_has "a conflict names the peer" "$(text POST $wg_path/peers "{\"public_key\":\"$(wg genkey | wg pubkey)\",\"allowed_ips\":[\"10.9.0.2/32\"]}")" \
	"10\.9\.0\.2/32 belongs to peer ${mine//+/[+]}"
check_eq "and is one" 409 "$(code PUT "$wg_path/peers/$peer" '{"allowed_ips":["10.9.0.2/32"]}')"
check_eq "nothing of it stays" "2 192.168.5.0/24" "$(body GET $wg_path/dump | jq '.peers | length') $(dump "$peer" .allowed_ips[0])"
check_eq "changes it" "10.9.0.9/32 8" "$(body PUT "$wg_path/peers/$peer" '{"allowed_ips":["10.9.0.9/32"],"persistent_keepalive":8}' >/dev/null
	dump "$peer" '"\(.allowed_ips[0]) \(.persistent_keepalive)"')"
check_eq "the interface's own key is no peer" 400 "$(code POST $wg_path/peers "{\"public_key\":\"$pub\"}")"
check_eq "it is no client" 0 "$(qanat --socket "$sock" --json core list_clients | jq '.data.clients | length')"
check_eq "nor a peer of the gateway's own" 0 "$(body GET /v1/wg/$own/dump | jq '.peers | length')"
check_eq "removes it" success "$(field=.status text DELETE "$wg_path/peers/$peer")"
check_eq "it is gone" 404 "$(code DELETE "$wg_path/peers/$peer" whole)"

conf() { printf '[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.9.0.2/32, fd09::2/128\n' "$mine" "$psk"
	for ((i = 10; i < ${1:-10}; i++)); do printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.9.0.%d/32, 172.20.%d.0/24\n' "$(head -c 32 /dev/urandom | base64)" $i $i; done; }
sync() { body POST $wg_path/syncconf "{\"config\":\"$(base64 -w0)\"}"; }
counts='"\(.added) \(.changed) \(.removed) \(.unchanged)"'
check_eq "syncconf adds" "40 0 0 1" "$(conf 50 | sync | jq -r "$counts")"
check_eq "syncconf replaces" "10 0 40 1" "$(conf 20 | sync | jq -r "$counts")"
a=$(wg genkey | wg pubkey) b=$(wg genkey | wg pubkey)
pair() { conf; printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' "$a" "$1" "$b" "$2"; }
check_eq "syncconf: two" "2 0 10 1" "$(pair 10.9.0.30/32 10.9.0.31/32 | sync | jq -r "$counts")"
check_eq "who swap" "0 2 0 1" "$(pair 10.9.0.31/32 10.9.0.30/32 | sync | jq -r "$counts")"
check_eq "and have swapped" "10.9.0.31/32 10.9.0.30/32" "$(dump "$a" .allowed_ips[0]) $(dump "$b" .allowed_ips[0])"
check_eq "live as well" "10.9.0.31/32" "$(ns G wg show "$if_g" allowed-ips | grep -F "$a" | cut -f 2)"
check_has "syncconf: a conflict names both" "$(pair 10.9.0.31/32 10.9.0.31/32 | sync | jq -r .error)" "peer .*10\.9\.0\.31/32 belongs to peer"
check_eq "and changes nothing" "10.9.0.30/32" "$(dump "$b" .allowed_ips[0])"
check_has "syncconf: names of hosts" "$( (conf; printf 'Endpoint = example.com:1\n') | sync | jq -r .error)" 'names are not looked up'
check_eq "syncconf: no base64" "Invalid base64-encoded configuration" "$(text POST $wg_path/syncconf '{"config":"%%%"}')"
check_eq "with an endpoint" "0 1 0 2" "$( (pair 10.9.0.31/32 10.9.0.30/32; printf 'Endpoint = 192.0.2.77:7777\n') | sync | jq -r "$counts")"
check_eq "which it has then" 192.0.2.77:7777 "$(dump "$b" .endpoint)"
check_has "the file has it all" "$(config | jq -r .raw_config)" "Endpoint = 192.0.2.77:7777"

# ---- configuration, still while packets are counted ----

before=$(config)
check_eq "PUT config" "200 true" "$(put "" '{mtu: 1380, dns: "", post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}' |
	tr '\n' ' ' | sed 's/^\([0-9]*\) .*"reloaded":\([a-z]*\).*/\1 \2/')"
check_has "its command has run" "$(ip -n "q${id}G" route)" "198.51.100.0/24 dev $if_g"
check_eq "its MTU" 1380 "$(ns G cat /sys/class/net/$if_g/mtu)"
check_eq "another address beside" 200 "$(put "" '{address: "10.9.0.1/24, fd09::1/64, 10.99.0.1/16"}' | head -n 1)"
check_has "is there" "$(ip -n "q${id}G" -br addr show "$if_g")" '10\.99\.0\.1/16'
check_eq "the history" "3 update" "$(body GET $wg_path/history | jq -r '"\(.history | length) \(.history[-1].action)"')"
first=$(body GET $wg_path/history | jq '.history[-1].id')
check_eq "no secret in it" "(hidden)" "$(body GET $wg_path/history/$first | jq -r .config.private_key)"
check_eq "the history of another is not its own" 404 "$(code GET /v1/wg/$own/history/$first)"
check_eq "rollback" 200 "$(code POST $wg_path/rollback "{\"id\":$first}")"
check_eq "is as it was" "$before" "$(config)"
check_eq "its command was taken back, and its address" "" "$(ip -n "q${id}G" route | grep 198.51.100; ip -n "q${id}G" addr show "$if_g" | grep 10.99)"
check_eq "a command that fails" 400 "$(put "" '{post_up: "ip route add 198.51.100.0/24 dev nosuchdevice"}' | head -n 1)"
check_eq "leaves all as it was" "$before" "$(config)"
check_has "metrics of both" "$(ns G curl -sk $url/v1/metrics | tr '\n' ' ')" \
	"wireguard_interface_count 2 .*wireguard_peers_total\{interface=\"$own\"\} 0 wireguard_peers_total\{interface=\"$if_g\"\} 3 "
check_eq "one type of each in them" "" "$(ns G curl -sk $url/v1/metrics | grep '^# TYPE' | sort | uniq -d)"
check_eq "as JSON" "2 3" "$(ns G curl -sk -H 'Accept: application/json' $url/v1/metrics | jq -r ".wireguard | \"\(.interface_count) \(.interfaces[\"$if_g\"].peers | length)\"")"
# A second further interface comes and goes beside.
second=/v1/wg/qh$id
check_has "its address is taken" "$(put_at $second "" '{address: "10.9.0.129/25"}' | tr '\n' ' ')" "^409 .*overlaps with .* of interface $if_g"
check_has "its port is taken" "$(put_at $second "" '{address: "10.10.0.1/24", listen_port: 51830}' | tr '\n' ' ')" '^409 .*51830'
check_eq "a port is chosen" "200" "$(put_at $second "" '{address: "10.10.0.1/24"}' | head -n 1)"
check_eq "the lowest that is free" 51821 "$(body GET $second/config | jq .config.listen_port)"
check_eq "three now" "true 3" "$(field=.was_down text POST $second/enable) $(status .wireguard.interface_count)"
check_eq "deleted while it is up" "200 404" "$(echo $(code DELETE $second) $(code GET $second/dump))"
check_eq "nothing is left of it" "" "$(ip -n "q${id}G" link show "qh$id" 2>/dev/null)"
pings_stop
check_eq "the other's packets all arrived" "" "$lost"

# ---- port, key, up and down ----

check_eq "another port" 200 "$(put "" '{listen_port: 51831}' | head -n 1)"
check_eq "wg sees it" 51831 "$(ns G wg show "$if_g" listen-port)"
check "the peer is called there" wait_for 5 reaches
check_eq "disable" true "$(field=.was_up text POST $wg_path/disable)"
check_eq "disable again" false "$(field=.was_up text POST $wg_path/disable whole)"
check_eq "down, and gone from the host" "down " "$(status) $(ip -n "q${id}G" link show "$if_g" 2>/dev/null)"
check_eq "its peers stay" 3 "$(body GET $wg_path/dump | jq '.peers | length')"
stop "$gateway"
check_eq "stops" 0 "$stopped"
check "starts" gateway_start
check_eq "still down, with its port" "down 51831" "$(status) $(config | jq .listen_port)"
check_eq "enable" true "$(field=.was_down text POST $wg_path/enable)"
to_port 51831
check "packets flow again" wait_for 30 reaches
stop "$gateway"
check_eq "nothing is left when it stops" "" "$(ip -n "q${id}G" link show "$if_g" 2>/dev/null)"
check "starts" gateway_start
check_eq "it is up again" up "$(status)"
check "packets flow" wait_for 30 reaches
gateway_kill
check "starts after kill -9" gateway_start
check_eq "it is up again" up "$(status)"
check "packets flow" wait_for 10 reaches
kill -USR2 "$gateway"
is_up() { [ "$(status)" = up ]; }
check "after a restart in place" wait_for 20 reaches
check "it is up" wait_for 10 is_up
put "" '{post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}' >/dev/null
ip -n "q${id}G" link del "$if_g"
back() { [ -n "$(ip -n "q${id}G" -br addr show "$if_g" | grep 10.9.0.1/24)" ] && [ "$(routes)" = 1 ]; }
check "deleted under us, it is made anew" wait_for 5 back
check_has "which is logged" "$(cat "$work/gateway.log")" "tunnel.interface_gone.*$if_g"
check "packets flow" wait_for 20 reaches
check_eq "the gateway's own went on" 0 "$(grep -c gateway.interface_gone "$work/gateway.log")"
for i in 2 3 4 5; do wait_for 5 back; ip -n "q${id}G" link del "$if_g"; done
given_up() { grep -q "tunnel.given_up.*$if_g" "$work/gateway.log" && [ "$(status)" = down ]; }
check "deleted five times within a minute, it stays down" wait_for 10 given_up
check_eq "until it is enabled" true "$(field=.was_down text POST $wg_path/enable)"
check "packets flow" wait_for 20 reaches
ip -n "q${id}G" addr del 10.9.0.1/24 dev "$if_g"
check "an address that somebody takes away comes back" wait_for 10 sh -c "ip -n q${id}G -br addr show $if_g | grep -q 10.9.0.1/24"

# ---- no next start after a kill ----

put "" '{post_up: "ip route add blackhole 198.51.100.0/24", pre_down: "ip route del blackhole 198.51.100.0/24"}' >/dev/null
put_at /v1/wg/$own "" '{post_up: "ip route add blackhole 198.51.101.0/24", pre_down: "ip route del blackhole 198.51.101.0/24"}' >/dev/null
# The same with the gateway's own, whose key stays.
traces() {
	{ ip -n "q${id}G" -o link; ip -n "q${id}G" route; ip -n "q${id}G" -6 route; ns G nft list tables; ls /run/wireguard "$work/run"; } 2>/dev/null |
		grep -E "$own|$if_g|10\.[89]\.|fd09|198\.51\.10|qanat_|control" | tr '\n' ' '
}
check_has "before it there is much" "$(traces)" "$if_g.*198\.51\.100\.0/24.*qanat_"
kill -KILL "$gateway" $(pgrep -P "$gateway") && wait "$gateway" 2>/dev/null
check "cleaning up after all was killed" ns G "$bin/qanat-gateway" --state "$state" --socket "$sock" --interface "$own" --clean-up
check_eq "nothing stays" "" "$(traces)"
check "starts" gateway_start
check_eq "it is up again" up "$(status)"
check "packets flow" wait_for 20 reaches
check_eq "its command was run again" 1 "$(ip -n "q${id}G" route | grep -c 'blackhole 198.51.100')"
stop "$gateway"

# ---- failing and dying at each step ----

if [ -z "${QANAT_FAULT_BIN:-}" ] || ! grep -q QANAT_CRASH_AT "$QANAT_FAULT_BIN/qanat-gateway"; then
	skip "kill -9 at each step" "QANAT_FAULT_BIN holds no build with fault points"
	exit
fi
bin=$QANAT_FAULT_BIN
# What store, device and host say, which must be one thing: port, MTU, address, route.
whole() {
	local c
	c=$(config | jq -r '"\(.listen_port) \(.mtu) \(.address) \(.post_up != null)"')
	echo "$c / $(ns G wg show "$if_g" listen-port) $(ns G cat /sys/class/net/$if_g/mtu) $(
		ip -n "q${id}G" -o -4 addr show "$if_g" | awk '{ printf "%s%s", n++ ? "," : "", $4 }') $(routes) / $(
		body GET $wg_path/dump | jq '.peers | length') $(ns G wg show "$if_g" peers | wc -l)"
}
forms=('{listen_port: 51840, mtu: 1390, address: "10.9.0.1/24", post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}'
	'{listen_port: 51841, mtu: 1410, address: "10.9.0.1/24, 10.98.0.1/24", post_up: "", pre_down: ""}')
states=("51840 1390 10.9.0.1/24 true / 51840 1390 10.9.0.1/24 1 / 3 3"
	"51841 1410 10.9.0.1/24, 10.98.0.1/24 false / 51841 1410 10.9.0.1/24,10.98.0.1/24 0 / 3 3")
check "starts, with fault points" gateway_start
check_eq "the one configuration" 200 "$(put "" "${forms[0]}" | head -n 1)"
check_eq "is whole" "${states[0]}" "$(whole)"
change_failed_at_each_step
fail_with agent.stored
check_eq "a new one that fails is not there" "500 404" "$(put_at $second "" '{address: "10.10.0.1/24"}' | head -n 1) $(code GET $second/config)"
for p in agent.stored agent.net; do
	fail_with $p
	check_eq "to disable, failing at $p" 500 "$(code POST $wg_path/disable)"
	check_eq "leaves all as it was" "${states[0]}" "$(whole)"
done
stop "$gateway"
change_killed_at_each_step "$rounds"

# Killed while it is made, taken up, taken down, deleted: it is there or not, up or not, and can be steered.
killed() { # killed POINT METHOD PATH [BODY]
	local p=$1
	shift
	with=(QANAT_CRASH=$p)
	gateway_start || { wrong=$((wrong + 1)); return; }
	ask "$@" >/dev/null 2>&1
	wait_for 5 gone "$gateway" || { wrong=$((wrong + 1)); echo "$p $*: was not killed"; kill -KILL "$gateway"; }
	wait "$gateway" 2>/dev/null
	with=(A=)
	gateway_start || { wrong=$((wrong + 1)); echo "$p $*: did not start again"; return; }
	got=$(code GET $second/config) up=$(status ".wireguard.interfaces[\"qh$id\"].status") link=$(ip -n "q${id}G" -br link show "qh$id" 2>/dev/null | wc -l)
	case "$got $up $link" in "404 null 0" | "200 down 0" | "200 up 1") ;; *) wrong=$((wrong + 1)); echo "$p $*: $got $up $link" ;; esac
	[ "$(whole)" = "${states[now]}" ] || { wrong=$((wrong + 1)); echo "$p $*: another: $(whole)"; }
	gateway_kill
}
wrong=0
new_body=$(jq -cn --arg k "$(wg genkey)" '{private_key: $k, address: "10.10.0.1/24"}')
for p in agent.stored agent.committed; do killed $p PUT $second/config "$new_body"; done
check_eq "made when it was committed" 200 "$got"
for p in agent.stored agent.net; do killed $p POST $second/enable; done
check "starts" gateway_start
check_eq "enable" 200 "$(code POST $second/enable)"
gateway_kill
for p in agent.stored agent.net; do killed $p POST $second/disable; done
with=(A=)
check "starts" gateway_start
check_eq "can be steered" "true 200" "$(echo $(field=.was_up text POST $second/disable) $(code POST $second/enable))"
gateway_kill
killed agent.stored DELETE $second
check_eq "nothing half made" 0 "$wrong"
with=(A=)
check "starts a last time" gateway_start
to_port "$(config | jq .listen_port)"
check "packets flow" wait_for 30 reaches
check_eq "deleted" "200 200" "$(echo $(code DELETE $second) $(code DELETE $wg_path))"
check_eq "all of them" "1 404" "$(status .wireguard.interface_count) $(code GET $wg_path/history)"
stop "$gateway"
check_eq "stops" 0 "$stopped"
check_eq "nothing is left" "" "$(ip -n "q${id}G" link show "$if_g" 2>/dev/null; ip -n "q${id}G" route | grep -E '198.51.100|10\.9\.|10\.10\.'; ls "$state" | grep journal)"
check_eq "nothing for the sanitizers to say" "" "$(grep -hE 'Sanitizer|runtime error' "$work"/gateway.log* | head -n 5)"
