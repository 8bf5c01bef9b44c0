#!/bin/bash
# agent_api.sh - a panel steers a gateway by the agent API while packets flow, and kills it at every step.
#
#    client host C (wireguard-go)              gateway host G
#    192.0.2.2             ------------------  192.0.2.1/24   qanat-gateway, agent API at 127.0.0.1:8080
#    10.8.0.2              ==================  10.8.0.1
#
# usage: agent_api.sh [ROUNDS]    ROUNDS of killing (default 12, two for each step)
. "$(dirname "$0")/lib.sh"
rounds=${1:-12}
own=qg$id if_g=qg$id
. "$top/tests/e2e/agent_lib.sh"

check "the example secret is refused" sh -c "! WG_AGENT_SECRET=change-me-in-production $bin/qanat-gateway --state $work/no \
	--socket $work/no.sock 2>$work/example.log && grep -q 'everybody knows' $work/example.log"
check "the gateway starts" gateway_start || cat "$work/gateway.log"

# ---- who may ask ----

check_eq "health is open" ok "$(ns G curl -sk $url/health | jq -r .status)"
check_has "metrics are open, as text" "$(ns G curl -skD - $url/v1/metrics)" 'text/plain; version=0.0.4'
check_eq "metrics as JSON" 1 "$(ns G curl -sk -H 'Accept: application/json' $url/v1/metrics | jq .wireguard.interface_count)"
for m in cpu_percent memory_used_bytes memory_percent disk_used_bytes; do
	check_has "metric wgdashboard_agent_$m" "$(ns G curl -sk $url/v1/metrics)" "^wgdashboard_agent_$m [0-9]"
done
while read -r name status error options; do
	error=${error//_/ }
	check_eq "$name" "$status $error" "$(code GET /v1/status $options) $(text GET /v1/status $options)"
done <<-'ROWS'
	unsigned 401 Missing_X-Signature_or_X-Timestamp_header unsigned
	too-old 401 Request_timestamp_too_old skew=-301
	from-the-future 401 Request_timestamp_too_old skew=320
	no-number 401 Invalid_timestamp timestamp=soon
	another-secret 401 Invalid_signature secret=another-secret-of-somebody
	another-path 401 Invalid_signature path=/v1/wg/x/dump
	another-method 401 Invalid_signature method=DELETE
	another-body 401 Invalid_signature body={}
ROWS
check_eq "within the window" 200 "$(code GET /v1/status skew=-290)"
check_eq "our form of signature" 200 "$(code GET /v1/status whole)"
check_eq "a copy of a change is refused" "401" "$(code POST $wg_path/rollback '{"id": 99}' twice)"

# ---- peers, while one of them counts its packets ----

key=$(wg genkey) pub=$(wg pubkey <<<"$key") other=$(wg pubkey <<<"$(wg genkey)")
check_eq "adds a peer" "success 10.8.0.2/32" "$(body POST $wg_path/peers \
	"{\"public_key\":\"$pub\",\"allowed_ips\":[\"10.8.0.2/32\"],\"persistent_keepalive\":25}" |
	jq -r '.status + " " + .peer.allowed_ips[0]')"
ns_spawn C wireguard-go.log env WG_PROCESS_FOREGROUND=1 wireguard-go -f $dev
wait_for 20 test -S /var/run/wireguard/$dev.sock
server=$(ns G wg show "$if_g" public-key)
ns C wg set $dev private-key <(echo "$key") peer "$server" endpoint 192.0.2.1:51820 allowed-ips 10.8.0.0/24 persistent-keepalive 1
addr_add C $dev 10.8.0.2/24
ip -n "q${id}C" link set $dev up
reaches() { ns C ping -c 1 -W 2 10.8.0.1; }
check "packets flow" wait_for 20 reaches

pings_start C 10.8.0.1
dump() { body GET $wg_path/dump | jq -r ".peers[] | select(.public_key == \"$1\") | $2"; }
check_eq "dump: keepalive" 25 "$(dump "$pub" .persistent_keepalive)"
check_has "dump: handshake" "$(dump "$pub" .latest_handshake)" '^[0-9]{10}$'
check_has "dump: endpoint" "$(dump "$pub" .endpoint)" '^192\.0\.2\.2:'
check_eq "a peer gets an address when none is said" 10.8.0.3/32 \
	"$(body POST $wg_path/peers "{\"public_key\":\"$other\"}" | jq -r '.peer.allowed_ips[0]')"
check_eq "a taken address" 409 "$(code POST $wg_path/peers "{\"public_key\":\"$(wg genkey | wg pubkey)\",\"allowed_ips\":[\"10.8.0.2/32\"]}")"
check_eq "an address of nobody's" 400 "$(code PUT $wg_path/peers/$other '{"allowed_ips":["192.168.1.0/24"]}')"
check_eq "changes a peer, its key as it stands" success "$(field=.status text PUT "$wg_path/peers/$other" '{"allowed_ips":["10.8.0.9/32"]}')"
percent=$(jq -rn --arg k "$other" '$k | @uri') safe=$(tr '+/' '-_' <<<"${other%=}")
check_eq "percent-encoded" success "$(field=.status text PUT "$wg_path/peers/$percent" '{"persistent_keepalive":7}')"
check_eq "in the alphabet of URLs" success "$(field=.status text PUT "$wg_path/peers/$safe" '{"persistent_keepalive":8}')"
check_eq "no preshared key of its own" null "$(dump "$other" .preshared_key)"
zero=$({ printf '\0'; head -c 31 /dev/urandom; } | base64) # a byte of it says nothing
check_eq "takes a preshared key" success "$(field=.status text PUT "$wg_path/peers/$safe" "{\"preshared_key\":\"$zero\"}")"
check_eq "tells that there is one, and no more" "(hidden)" "$(dump "$other" .preshared_key)"
check_eq "what it is then" "10.8.0.9/32 8" "$(dump "$other" '"\(.allowed_ips[0]) \(.persistent_keepalive)"')"
check_eq "it is a client like any other" 10.8.0.9 "$(q core list_clients search="peer-$safe" | jq -r '.data.clients[0].ip')"
# Keys whose first 16 characters are the same, which is what a label holds.
twin=$({ base64 -d <<<"$other" | head -c 12; head -c 20 /dev/urandom; } | base64)
check_eq "a peer with a key that begins like another's" 200 "$(code POST $wg_path/peers "{\"public_key\":\"$twin\"}")"
metrics() { ns G curl -sk "$@" $url/v1/metrics; }
check_eq "no series stands twice" "" "$(metrics | grep -v '^#' | sed 's/ [^ ]*$//' | sort | uniq -d)"
check_eq "both are there, others with the beginning of theirs" "2 1" "$(metrics | grep -cF "receive_bytes_total{interface=\"$if_g\",public_key=\"${other:0:16}") $(
	metrics | grep -cF "wireguard_peer_receive_bytes_total{interface=\"$if_g\",public_key=\"${pub:0:16}\"}")"
check_eq "each metric has its type, once, before its series" "" "$(metrics | awk '
	$1 == "#" && $2 == "HELP" { help[$3]++; next }
	$1 == "#" && $2 == "TYPE" { if (type[$3]++ || !help[$3] || $4 != ($3 ~ /bytes_total$/ ? "counter" : "gauge")) print; next }
	{ sub(/[{ ].*/, ""); if (!type[$0] || ended[$0]) print; if (last != $0) { ended[last] = 1; last = $0 } }')"
check_eq "removes it" 200 "$(code DELETE "$wg_path/peers/$(jq -rn --arg k "$twin" '$k | @uri')")"
check_eq "removes it" success "$(field=.status text DELETE "$wg_path/peers/$percent")"
check_eq "it is gone" 404 "$(code DELETE "$wg_path/peers/$percent" whole)"

conf() { printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.8.0.2/32\nPersistentKeepalive = 25\n' "$pub"; for ((i = 10; i < ${1:-10}; i++)); do
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.8.0.%d/32\n' "$(head -c 32 /dev/urandom | base64)" $i; done; }
sync() { body POST $wg_path/syncconf "{\"config\":\"$(base64 -w0)\"}" whole; }
check_eq "syncconf adds" "40 0 0 1" "$(conf 50 | sync | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "syncconf replaces" "10 0 40 1" "$(conf 20 | sync | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "syncconf: no base64" "Invalid base64-encoded configuration" "$(text POST $wg_path/syncconf '{"config":"%%%"}')"
# A plain body is read where it stands, any other by the JSON library: it must make no difference.
config64=$(conf 12 | tee "$work/conf.12" | base64 -w0)
while IFS='|' read -r name want json; do
	json=${json//C64/$config64}
	check_eq "syncconf: $name" "$want" "$(body POST $wg_path/syncconf "${json//S64/${config64//\//\\/}}" whole | jq -r '.error // "\(.added) \(.changed) \(.removed) \(.unchanged)"')"
done <<-'ROWS'
	plain|2 0 10 1|{"config":"C64"}
	with spaces|0 0 0 3| { "config" : "C64" } 
	slashes escaped|0 0 0 3|{"config":"S64"}
	another field|more: unknown field|{"config":"C64","more":1}
	twice|The body must be a JSON object: it cannot be read|{"config":"C64","config":"C64"}
	something behind it|The body must be a JSON object: it cannot be read|{"config":"C64"} x
	a comma behind it|The body must be a JSON object: it cannot be read|{"config":"C64",}
	no end|The body must be a JSON object: it cannot be read|{"config":"C64"
	no text|config: must be a text|{"config":["C64"]}
	nothing in it|Invalid base64-encoded configuration|{"config":""}
	a digit too few|Invalid base64-encoded configuration|{"config":"AC64"}
ROWS
sed 's/10.8.0.10\/32/10.8.0.77\/32/' "$work/conf.12" >"$work/conf.moved"
check_eq "syncconf moves a peer" "0 1 0 2" "$(sync <"$work/conf.moved" | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "and it is there" 1 "$(ns G wg show "$if_g" allowed-ips | grep -c '10.8.0.77/32')"
sed "s/^PublicKey.*/&\nPresharedKey = $(wg genpsk | sed 's,/,\\/,g')/" "$work/conf.12" >"$work/conf.psk"
check_eq "syncconf gives them preshared keys" "0 3 0 0" "$(sync <"$work/conf.psk" | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "which are the same the next time" "0 0 0 3" "$(sync <"$work/conf.psk" | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "and takes them away" "0 3 0 0" "$(sync <"$work/conf.12" | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_eq "syncconf replaces once more" "10 0 2 1" "$(conf 20 | sync | jq -r '"\(.added) \(.changed) \(.removed) \(.unchanged)"')"
check_has "syncconf: an unknown key" "$(printf '[Peer]\nPublicKye = x\n' | sync | jq -r .error)" 'PublicKye; did you mean PublicKey'
check_eq "a failed one changes nothing" 11 "$(body GET $wg_path/dump | jq '.peers | length')"

# ---- configuration, still while packets are counted ----

private_key=$(config | jq -r .private_key)
check_eq "the key is the interface's" "$server" "$(wg pubkey <<<"$private_key")"
check_has "the file has the peer" "$(config | jq -r .raw_config)" "PublicKey = ${pub//+/[+]}"
check_eq "a dry run shows the difference" '[{"field":"mtu","from":1420,"to":1380}]' "$(put '?dry_run=true' '{mtu: 1380}' | tail -n +2 | jq -c .changes)"
check_eq "and does nothing" 1420 "$(config | jq .mtu)"
before=$(config)
while IFS='|' read -r name want fields; do
	check_eq "refused: $name" "$want" "$(put "" "$fields" | head -n 1)"
done <<-'ROWS'
	a newline in dns|422|{dns: "1.1.1.1\nPostUp = id"}
	a newline in post_up|422|{post_up: "ip link set wg0 up\nPostUp = id"}
	a return in address|422|{address: "10.8.0.1/24\r"}
	NUL in table|422|{table: "off\u0000"}
	a shell|400|{post_up: "sh -c id"}
	a redirection|400|{post_up: "ip route add 198.51.100.0/24 dev %i > /etc/passwd"}
	a port that is none|422|{listen_port: 65536}
	a port as a text|422|{listen_port: "51820"}
	the wrong network|400|{address: "10.9.0.1/24"}
	an MTU too small for IPv6|400|{mtu: 1000}
	an unknown field|422|{pre_up: "id"}
	a key that is none|400|{private_key: "abc"}
	a command that fails|400|{post_up: "ip route add 198.51.100.0/24 dev nosuchdevice"}
ROWS
check_eq "all as before" "$before" "$(config)"
ns_spawn G taken.log python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 51900)); time.sleep(600)'
wait_for 10 port_held G 51900
check_eq "a port that somebody else has" 409 "$(put "" '{listen_port: 51900}' | head -n 1)"
check_eq "PUT config" "200 true" "$(put "" '{mtu: 1400, dns: "9.9.9.9", post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}' |
	tr '\n' ' ' | sed 's/^\([0-9]*\) .*"reloaded":\([a-z]*\).*/\1 \2/')"
check_has "its command has run" "$(ip -n "q${id}G" route)" "198.51.100.0/24 dev $if_g"
check_eq "its MTU" 1400 "$(ns G cat /sys/class/net/$if_g/mtu)"
check_eq "the history" "2 update found" "$(body GET $wg_path/history | jq -r '"\(.history | length) \(.history[0].action) \(.history[1].action)"')"
first=$(body GET $wg_path/history | jq '.history[-1].id')
check_eq "no secret in it" "(hidden)" "$(body GET $wg_path/history/$first | jq -r .config.private_key)"
check_eq "rollback" 200 "$(code POST $wg_path/rollback "{\"id\":$first}")"
check_eq "is as it was" "$before" "$(config)"
check_eq "its command was taken back" "" "$(ip -n "q${id}G" route | grep 198.51.100)"
pings_stop
check_eq "the other's packets all arrived" "" "$lost"

# ---- commands beside the forms, which a file on the host allows ----

touch="/usr/bin/touch $work/touched"
check_eq "a program that no form has" 400 "$(put "" "{post_up: \"$touch\"}" | head -n 1)"
printf '# for panels\n%s\n' "$touch" >"$work/commands"
chmod 666 "$work/commands"
stop "$gateway"
check "a file that anybody can write is refused" eval '! gateway_start --agent-api-commands "$work/commands"'
check_has "and named" "$(cat "$work/gateway.log")" "agent-api-commands: .*/commands must be a regular file of root's"
chmod 644 "$work/commands"
check "starts with it" gateway_start --agent-api-commands "$work/commands"
check_eq "one of its lines is taken" 200 "$(put "" "{post_up: \"$touch\"}" | head -n 1)"
check "and has run" test -e "$work/touched"
check_eq "with another word it is not" 400 "$(put "" "{post_up: \"$touch x\"}" | head -n 1)"
check_eq "nor a shell" 400 "$(put "" '{post_up: "/bin/sh -c id"}' | head -n 1)"
check_eq "is taken away again" 200 "$(put "" '{post_up: ""}' | head -n 1)"
stop "$gateway"
check "starts" gateway_start
reaches_again() { wait_for 20 reaches; }
check "packets flow" reaches_again

# ---- port, up and down ----

check_eq "another port" 200 "$(put "" '{listen_port: 51821}' | head -n 1)"
check_eq "wg sees it" 51821 "$(ns G wg show "$if_g" listen-port)"
check "the client is called there" wait_for 30 reaches
# Calls that may be repeated, also with the same timestamp; what was sent before does not undo what came since.
now=$(date +%s)
check_eq "disable" true "$(field=.was_up text POST $wg_path/disable timestamp=$now)"
check_eq "disable again" false "$(field=.was_up text POST $wg_path/disable timestamp=$now)"
check_eq "enable" true "$(field=.was_down text POST $wg_path/enable timestamp=$now)"
check_eq "enable again" false "$(field=.was_down text POST $wg_path/enable timestamp=$now)"
check_eq "the copy of an earlier disable is refused" "401 up" "$(code POST $wg_path/disable timestamp=$now) $(body GET /v1/status | jq -r ".wireguard.interfaces[\"$if_g\"].status")"
check_eq "disable" true "$(field=.was_up text POST $wg_path/disable whole)"
check_eq "the copy of an earlier enable is refused" "401 down" "$(code POST $wg_path/enable timestamp=$now) $(body GET /v1/status | jq -r ".wireguard.interfaces[\"$if_g\"].status")"
check_eq "status: down" down "$(body GET /v1/status | jq -r ".wireguard.interfaces[\"$if_g\"].status")"
stop "$gateway"
check_eq "stops" 0 "$stopped"
check "starts" gateway_start
check_eq "still down, with its port" "down 51821" "$(body GET /v1/status | jq -r ".wireguard.interfaces[\"$if_g\"].status") $(config | jq .listen_port)"
check_eq "enable" true "$(field=.was_down text POST $wg_path/enable)"
ns C wg set $dev peer "$server" endpoint 192.0.2.1:51821
check "packets flow again" wait_for 30 reaches
check_eq "names of interfaces" "404 400 400" "$(echo $(code GET /v1/wg/wg9/dump) $(code GET /v1/wg/a%2fb/dump) $(code GET /v1/wg/-x/dump))"
check_eq "its own interface is not deleted" 409 "$(code DELETE $wg_path)"

# ---- a port of the privileged, and a restart in place ----

check_eq "a port below 1024 is the helper's to open" 200 "$(put "" '{listen_port: 953, post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}' | head -n 1)"
check_eq "and is open" 953 "$(ns G wg show "$if_g" listen-port)"
kill -USR2 "$gateway"
again() { [ "$(grep -c 'gateway.ready ' "$work/gateway.log")" -ge 2 ]; }
check "a restart in place" wait_for 20 again
route_there() { [ "$(routes)" = 1 ]; }
check "its commands are run for the new interface" wait_for 5 route_there
check_eq "with the port" 953 "$(ns G wg show "$if_g" listen-port)"

# ---- failing and dying at each step ----

stop "$gateway"
if [ -z "${QANAT_FAULT_BIN:-}" ] || ! grep -q QANAT_CRASH_AT "$QANAT_FAULT_BIN/qanat-gateway"; then
	skip "kill -9 at each step" "QANAT_FAULT_BIN holds no build with fault points"
	exit
fi
bin=$QANAT_FAULT_BIN
# What store, device and host say, which must be one thing: port, MTU, route.
whole() {
	local c
	c=$(config | jq -r '"\(.listen_port) \(.mtu) \(.post_up != null)"')
	echo "$c / $(ns G wg show "$if_g" listen-port) $(ns G cat /sys/class/net/$if_g/mtu) $(routes) / $(
		body GET $wg_path/dump | jq '.peers | length')"
}
forms=('{listen_port: 51830, mtu: 1390, post_up: "ip route add 198.51.100.0/24 dev %i", pre_down: "ip route del 198.51.100.0/24"}'
	'{listen_port: 51831, mtu: 1410, post_up: "", pre_down: ""}')
states=("51830 1390 true / 51830 1390 1 / 11" "51831 1410 false / 51831 1410 0 / 11")
check "starts, with fault points" gateway_start
check_eq "the one configuration" 200 "$(put "" "${forms[0]}" | head -n 1)"
check_eq "is whole" "${states[0]}" "$(whole)"
change_failed_at_each_step
stop "$gateway"
change_killed_at_each_step "$rounds"
with=(A=)
check "starts a last time" gateway_start
check "packets flow" sh -c "nsenter --net=/run/netns/q${id}C wg set $dev peer $server endpoint 192.0.2.1:$(config | jq .listen_port)
	for i in 1 2 3 4 5; do nsenter --net=/run/netns/q${id}C ping -c 1 -W 3 10.8.0.1 && exit 0; done; exit 1"
stop "$gateway"
check_eq "nothing is left" "" "$(ip -n "q${id}G" link show "$if_g" 2>/dev/null; ip -n "q${id}G" route | grep 198.51.100)"
