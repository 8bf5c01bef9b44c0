# further.sh - a gateway's interfaces, its own and further ones, steered over the agent API, on whatever carries their packets.  Sourced after
# e2e/lib.sh; further_tests is the same for each kind of device.
#
#   namespace $further_ns                            | where the gateway is
#   qanat-wg  10.89.0.2, fd89::2                     | further interface 10.89.0.1, fd89::1
#             10.90.0.2 (a second one's)             | second one 10.90.0.1
#
# The test that sources it sets further_ns, further_at (the gateway's address) and agent_url (as seen from there), further_iface
# (the gateway's own), further_port (its UDP port), further_own (what in lists of the host is the gateway's own, an extended regular expression),
# further_socket (its control socket), and defines
#   at COMMAND       a shell command where the gateway is
#   gw start|restart|kill|stop|clean-up    the gateway: started and ready; restarted in place and ready; all of its processes
#                    killed by SIGKILL; stopped; cleaned up after
#   take_port PORT, free_port    somebody else has the UDP port there, and has not any more
# further_tests KIND    "kernel": its interfaces outlive its processes

agent_secret=interop-secret-of-the-agent-api
ask() { ns "$further_ns" python3 "$top/tests/e2e/agent_client.py" "$agent_url" "$agent_secret" "$@" 2>&1; }
body() { ask "$@" | tail -n +2; }
code() { ask "$@" | head -n 1; }
field() { local f=$1; shift; body "$@" | jq -r "$f"; }

further_tests() {
	local kind=$1 one=qf$id two=qs$id link_p=qp$id p=/v1/wg/qf$id q=/v1/wg/qs$id
	local key_one=$(wg genkey) key_two=$(wg genkey) key=$(wg genkey) psk=$(wg genpsk) first forward before
	local mine=$(wg pubkey <<<"$key") pub_one=$(wg pubkey <<<"$key_one") pub_two=$(wg pubkey <<<"$key_two")
	local route="ip route add blackhole 198.51.100.0/24" unroute="ip route del blackhole 198.51.100.0/24"

	put() { ask PUT "$1/config" "$(jq -cn --arg k "$2" "{private_key: \$k} + $3")"; } # put PATH KEY FIELDS
	reaches() { ns "$further_ns" ping -q -c 1 -W 2 "${1:-10.89.0.1}"; }
	dials() { ns "$further_ns" wg set "$link_p" peer "$pub_one" endpoint "$further_at:$1"; } # dials PORT
	live() { at "wg show $one $1"; }
	up() { [[ $(at "ip -br addr show dev $one") = *10.89.0.1/24*fd89::1/64* ]]; }
	away() { ! at "ip link show dev $1" >/dev/null 2>&1; }
	routed() { [[ $(at "ip route show type blackhole") = *198.51.100.0/24* ]]; }
	unrouted() { ! routed; }
	# All that a gateway may have on its host, in one line; "" when there is nothing.
	traces() {
		at "ip -o link; ip -o addr; ip route; ip -6 route; nft list tables; ls /run/wireguard /var/run/wireguard ${further_socket%/*}" 2>/dev/null |
			grep -E "$one|$two|$further_own|10\.89|fd89|10\.90|198\.51\.100|blackhole|qanat_" | tr '\n' ' '
	}

	forward=$(at 'cat /proc/sys/net/ipv4/ip_forward')
	gw start || { not_ok "$kind: the gateway starts"; return; }
	ok "$kind: the gateway starts"

	# ---- the gateway's own ----
	local o=/v1/wg/$further_iface key_own
	own_is() { [[ $(at "ip -o link show dev $further_iface") = *[\<,]UP[,\>]* ]] && echo up || echo down; }
	key_own=$(field .config.private_key GET $o/config)
	check_eq "$kind: own: another MTU, another port" 200 "$(put $o "$key_own" '{mtu: 1400, listen_port: 51998}' | head -n 1)"
	check_eq "$kind: own: are the device's" "51998 1400" "$(at "wg show $further_iface listen-port; cat /sys/class/net/$further_iface/mtu" | xargs)"
	check_eq "$kind: own: rollback" 200 "$(code POST $o/rollback "{\"id\":$(field '.history[-1].id' GET $o/history)}")"
	check_eq "$kind: own: is as it was" "$further_port 1420" "$(at "wg show $further_iface listen-port; cat /sys/class/net/$further_iface/mtu" | xargs)"
	check_eq "$kind: own: a peer" 200 "$(code POST $o/peers "{\"public_key\":\"$mine\"}")"
	check_eq "$kind: own: goes down" true "$(field .was_up POST $o/disable)"
	check_eq "$kind: own: is down" down "$(own_is)"
	check "$kind: own: the gateway restarts in place" gw restart
	check_eq "$kind: own: is still down" down "$(own_is)"
	gw kill
	check "$kind: own: all is killed; the gateway starts" gw start
	check_eq "$kind: own: is still down, with its peer" "down $mine" "$(own_is) $(at "wg show $further_iface peers")"
	check_eq "$kind: own: goes up" true "$(field .was_down POST $o/enable)"
	check_eq "$kind: own: is up" up "$(own_is)"
	check_eq "$kind: own: the peer goes" "200 " "$(code DELETE "$o/peers/$(jq -rn --arg k "$mine" '$k | @uri')") $(at "wg show $further_iface peers")"

	# ---- made, with peers, up ----
	check_eq "$kind: a further interface is made" 200 "$(put $p "$key_one" "{listen_port: 51841, address: \"10.89.0.1/24, fd89::1/64\", mtu: 1380,
		post_up: \"$route\", pre_down: \"$unroute\"}" | head -n 1)"
	check_eq "$kind: it gets a peer while it is down" 200 "$(code POST $p/peers "{\"public_key\":\"$mine\",\"preshared_key\":\"$psk\",\"allowed_ips\":[\"10.89.0.2/32\",\"fd89::2/128\"]}")"
	check "$kind: nothing of it is on the host" away $one
	check_eq "$kind: it goes up" "true" "$(field .was_down POST $p/enable)"
	check "$kind: with its addresses" up
	check_eq "$kind: key, port and peer are the device's" "$pub_one 51841 1" "$(live public-key) $(live listen-port) $(live peers | wc -l)"
	check_has "$kind: its MTU" "$(at "ip link show dev $one")" 'mtu 1380'
	check "$kind: its command has run" routed
	if [ "$kind" = kernel ]; then check_has "$kind: it is the kernel's" "$(at "ip -d link show dev $one")" wireguard; fi
	further_client() {
		ns "$further_ns" qanat-wg "$link_p" && ns "$further_ns" wg set "$link_p" private-key <(echo "$key") \
			peer "$pub_one" preshared-key <(echo "$psk") endpoint "$further_at:51841" allowed-ips 10.89.0.0/24,fd89::/64 persistent-keepalive 1 &&
			addr_add "$further_ns" "$link_p" 10.89.0.2/24 fd89::2/64 && ip -n "q$id$further_ns" link set "$link_p" up
	}
	check "$kind: a client of it is there" further_client
	check "$kind: packets pass" wait_for 20 reaches
	check "$kind: of IPv6 as well" wait_for 10 reaches fd89::1
	check_has "$kind: the dump tells of the handshake" "$(field ".peers[0].latest_handshake" GET $p/dump)" '^[0-9]{10}$'
	check_eq "$kind: status: up, one active" "up 1" "$(field ".wireguard.interfaces[\"$one\"] | \"\(.status) \(.active_peers)\"" GET /v1/status)"

	# ---- peers, and a second interface, while packets are counted ----
	pings_start "$further_ns" 10.89.0.1
	further_file() { printf '[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.89.0.2/32, fd89::2/128\n' "$mine" "$psk"
		for ((i = 10; i < $1; i++)); do printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.89.0.%d/32, 172.20.%d.0/24\n' "$(head -c 32 /dev/urandom | base64)" $i $i; done; }
	further_sync() { field '"\(.added) \(.changed) \(.removed) \(.unchanged)"' POST $p/syncconf "{\"config\":\"$(further_file $1 | base64 -w0)\"}"; }
	check_eq "$kind: syncconf adds" "40 0 0 1" "$(further_sync 50)"
	check_eq "$kind: and replaces" "10 0 40 1" "$(further_sync 20)"
	check_eq "$kind: they are the device's" 11 "$(live peers | wc -l)"
	check_eq "$kind: and go" "0 0 10 1" "$(further_sync 10)"
	check_eq "$kind: a second one" "200 200" "$(put $q "$key_two" '{listen_port: 51842, address: "10.90.0.1/24"}' | head -n 1) $(code POST $q/enable)"
	check_eq "$kind: has its own key" "$pub_two" "$(at "wg show $two public-key")"
	check_eq "$kind: an address of the first's network is refused to it" 409 "$(put $q "$key_two" '{address: "10.89.0.9/24"}' | head -n 1)"
	check_eq "$kind: the second goes down" true "$(field .was_up POST $q/disable)"
	check "$kind: nothing of it stays" away $two
	before=$(field .config.raw_config GET $p/config)
	check_eq "$kind: another MTU, another address" 200 "$(put $p "$key_one" '{mtu: 1390, address: "10.89.0.1/24, fd89::1/64, 10.91.0.1/24", post_up: "", pre_down: ""}' | head -n 1)"
	check_has "$kind: are there" "$(at "ip addr show dev $one")" '10\.91\.0\.1/24'
	check "$kind: the command was taken back" unrouted
	first=$(field '.history[-1].id' GET $p/history)
	check_eq "$kind: rollback" 200 "$(code POST $p/rollback "{\"id\":$first}")"
	check_eq "$kind: is as it was" "$before" "$(field .config.raw_config GET $p/config)"
	check_eq "$kind: the other address has gone" "" "$(at "ip addr show dev $one" | grep 10.91)"
	check "$kind: the command has run again" routed
	pings_stop
	check_eq "$kind: no packet of the client was lost" "" "$lost"

	# ---- port and key ----
	check_eq "$kind: another port" 200 "$(put $p "$key_one" '{listen_port: 51843}' | head -n 1)"
	check_eq "$kind: is the device's" 51843 "$(live listen-port)"
	dials 51843
	check "$kind: packets pass there" wait_for 20 reaches
	check_eq "$kind: a port that somebody has is refused" 409 "$(put $p "$key_one" "{listen_port: $further_port}" | head -n 1)"
	check_eq "$kind: another key" 200 "$(put $p "$key_two" '{}' | head -n 1)"
	check_eq "$kind: is the device's" "$pub_two" "$(live public-key)"
	check_eq "$kind: and back" 200 "$(put $p "$key_one" '{}' | head -n 1)"
	check "$kind: packets pass" wait_for 20 reaches

	# ---- down, up, restarts, deaths ----
	check_eq "$kind: it goes down" true "$(field .was_up POST $p/disable)"
	check "$kind: nothing of it is on the host" away $one
	check "$kind: nor of its command" unrouted
	check_eq "$kind: its peer stays" 1 "$(field '.peers | length' GET $p/dump)"
	check "$kind: the gateway restarts in place" gw restart
	check "$kind: it is still down" away $one
	check_eq "$kind: it goes up" true "$(field .was_down POST $p/enable)"
	check "$kind: packets pass" wait_for 20 reaches
	before=$(at "ip -o link show dev $one" | cut -d: -f1)
	check "$kind: the gateway restarts in place" gw restart
	check "$kind: packets pass" wait_for 20 reaches
	check "$kind: its command has run" routed
	if [ "$kind" = kernel ]; then check_eq "$kind: it is the same interface" "$before" "$(at "ip -o link show dev $one" | cut -d: -f1)"; fi
	gw kill
	check "$kind: all is killed; the gateway starts" gw start
	check "$kind: packets pass" wait_for 20 reaches
	check_eq "$kind: with its peer, key and port" "$pub_one 51843 1" "$(live public-key) $(live listen-port) $(live peers | wc -l)"
	check "$kind: its command has run" routed
	at "ip link del dev $one"
	check "$kind: deleted under the gateway, it is made anew" wait_for 10 up
	check "$kind: packets pass" wait_for 20 reaches
	check "$kind: its command has run" wait_for 5 routed

	# ---- somebody has its port by then ----
	is_up() { [ "$(field ".wireguard.interfaces[\"$one\"].status" GET /v1/status)" = up ]; }
	code POST $p/disable >/dev/null
	take_port 51843
	check_eq "$kind: a port that was taken meanwhile is a conflict" 409 "$(code POST $p/enable)"
	check "$kind: nothing of it is on the host" away $one
	check_eq "$kind: and it is down" down "$(field ".wireguard.interfaces[\"$one\"].status" GET /v1/status)"
	check_eq "$kind: to change is a conflict as well" 409 "$(put $q "$key_two" '{listen_port: 51843}' | head -n 1)"
	free_port
	check_eq "$kind: it goes up once the port is free" 200 "$(code POST $p/enable whole)" # may be within the same second
	check "$kind: packets pass" wait_for 20 reaches
	gw kill
	at "ip link del dev $one" 2>/dev/null
	take_port 51843
	check "$kind: the gateway starts without it" gw start
	check_eq "$kind: another one is not touched by that" 200 "$(code POST $q/enable)"
	check "$kind: it is there" at "ip link show dev $two"
	free_port
	check "$kind: once the port is free it goes up by itself" wait_for 10 is_up
	check "$kind: packets pass" wait_for 20 reaches
	check "$kind: its command has run" wait_for 5 routed
	check_eq "$kind: the second goes down" 200 "$(code POST $q/disable)"

	# ---- for good ----
	check_eq "$kind: the second goes up" 200 "$(code POST $q/enable)"
	gw kill
	check "$kind: all is killed; cleaning up" gw clean-up
	check_eq "$kind: nothing stays on the host" "" "$(traces)"
	check_eq "$kind: forwarding is as it was" "$forward" "$(at 'cat /proc/sys/net/ipv4/ip_forward')"
	check "$kind: cleaning up again does no harm" gw clean-up
	check "$kind: the gateway starts" gw start
	check "$kind: packets pass" wait_for 20 reaches
	check_eq "$kind: both are deleted" "200 200" "$(code DELETE $p) $(code DELETE $q)"
	check "$kind: the one has gone" away $one
	check "$kind: the other, too" away $two
	check "$kind: and what its command did" unrouted
	check "$kind: the gateway stops" gw stop
	check_eq "$kind: nothing stays on the host" "" "$(traces)"
	ip -n "q$id$further_ns" link del "$link_p"
}
