#!/bin/bash
# limits.sh - rates, quotas and ends of clients as their packets feel them, and `qanat peer why`.
#
#    client hosts C, D                         gateway host G
#    192.0.2.2, 192.0.2.3  ------------------  192.0.2.1/24
#    10.8.0.2, 10.8.0.3    ==================  10.8.0.1        qanat-wg and qanat-gateway
#
# Nothing here depends on timing: what a bucket lets pass is compared with the time that it really took.
. "$(dirname "$0")/lib.sh"
need wg ip ping python3 nsenter jq
if_g=qg$id
state=$work/state sock=$work/run/control.sock
count=$top/tests/e2e/udp_count.py

for n in C D G; do ns_add $n || exit 1; done
ip -n "q${id}G" link add br0 type bridge && ip -n "q${id}G" link set br0 up
link_add C eth0 G toC && link_add D eth0 G toD || exit 1
ip -n "q${id}G" link set toC master br0 && ip -n "q${id}G" link set toD master br0
addr_add G br0 192.0.2.1/24
addr_add C eth0 192.0.2.2/24
addr_add D eth0 192.0.2.3/24

ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }
gateway_start() {
	rm -f "$work/ready"
	ns_spawn G gateway.log qanat-gateway --state "$state" --socket "$sock" --interface "$if_g" --network6 none \
		--endpoint 192.0.2.1 --ready-fd 9 9>"$work/ready"
	gateway=$spawned
	wait_for 20 ready_or_dead && [ -s "$work/ready" ]
}
q() { qanat --socket "$sock" --json "$@"; }
limits() { q core client_limits client_name="$1" | jq -r ".data.$2"; }
why() { q peer why "$1" | jq -r ".data | $2"; }
dropped() { why "$1" "[.drops[] | select(.reason == \"$2\") | .packets] | add // 0"; }

# client NS NAME: its configuration in that host, by our own daemon.
client() {
	local dev=q$1$id
	check "adds $2" q core add_client client_name="$2"
	q core export_client client_name="$2" | jq -r .data.config | grep -vE '^(Address|DNS|MTU) ' |
		sed 's,^AllowedIPs = .*,AllowedIPs = 10.8.0.0/24,; /^PersistentKeepalive/d' >"$work/$2.conf"
	ns_spawn "$1" "$2.log" qanat-wg -f "$dev"
	wait_for 20 test -S "/var/run/wireguard/$dev.sock" || return 1
	ns "$1" wg setconf "$dev" "$work/$2.conf" || return 1
	addr_add "$1" "$dev" "$(q core list_clients search="$2" | jq -r .data.clients[0].ip)/24"
	ip -n "q$id$1" link set "$dev" mtu 1420 up
}
reaches() { ns "$1" ping -c 1 -W 2 -s 72 10.8.0.1; }

# counted FROM-NS TO-NS TO-ADDRESS send|flood SIZE N: "packets bytes" that arrived.
counted() {
	rm -f "$work/sink" "$work/sink.log"
	ns_spawn "$2" sink.log python3 "$count" sink "$3" 9000 "$work/sink"
	wait_for 10 grep -q ready "$work/sink.log" || return 1
	ns "$1" python3 "$count" "$4" "$3" 9000 "$5" "$6" >"$work/sent" || return 1
	wait_for 20 test -e "$work/sink" && cat "$work/sink"
}

check "the gateway starts" gateway_start
client C laptop || not_ok "client laptop" "$(cat "$work/laptop.log")"
client D phone || not_ok "client phone" "$(cat "$work/phone.log")"
check_eq "a client that never came" never_seen "$(why laptop .cause.name)"
check "laptop gets through" reaches C
check "phone gets through" reaches D
check_eq "laptop is connected" "true connected" "$(why laptop .connected) $(why laptop .cause.name)"
check_eq "nothing is limited" null "$(limits laptop quota_bytes)"

# ---- quota: exact to the packet ----

shakes() { ns G wg show "$if_g" latest-handshakes | sort; }
before=$(shakes)
check "a quota" q peer limit laptop quota=100999
check_eq "begins at nothing" "0 100999" "$(limits laptop quota_used_bytes) $(limits laptop quota_left_bytes)"
check_eq "no session was touched" "$before" "$(shakes)"
check_eq "100 packets of 1000 bytes pass of 200" "100 100000" "$(counted C G 10.8.0.1 send 1000 200)"
check_eq "they are used" 100000 "$(limits laptop quota_used_bytes)"
check_eq "the others were dropped" 100 "$(dropped laptop quota_used_up)"
check_eq "why says so" "true quota_used_up quota_used_up" \
	"$(why laptop .connected) $(why laptop .cause.name) $(why laptop '.drops[0].reason')"
check "and since when" sh -c 'test "$1" != null' - "$(why laptop .quota_out_since)"
check "the other client does not feel it" reaches D
check "five more packets" q peer limit laptop quota=+5000
check_eq "what was used stays used" "100000 105999" "$(limits laptop quota_used_bytes) $(limits laptop quota_bytes)"
check_eq "five pass, in the other direction too" "5 5000" "$(counted G C 10.8.0.2 send 1000 20)"
check_eq "and one of what is left" "1 999" "$(counted C G 10.8.0.1 send 999 3)"
check_eq "then it is used up" 0 "$(limits laptop quota_left_bytes)"
check_eq "not even a byte passes" "0 0" "$(counted C G 10.8.0.1 send 29 3)"

# ---- what was used outlives the program ----

ready_twice() { [ "$(grep -c gateway.ready "$work/gateway.log")" -ge 2 ]; }
kill -USR2 "$gateway"
check "restarts in place" wait_for 20 ready_twice
check_eq "and knows what was used" "105999 0" "$(limits laptop quota_used_bytes) $(limits laptop quota_left_bytes)"
check_eq "and keeps to it" "0 0" "$(counted C G 10.8.0.1 send 1000 20)"
stop "$gateway"
check "starts again" gateway_start
check_eq "and still knows" 105999 "$(limits laptop quota_used_bytes)"
check "a new quota" q peer limit laptop quota=1G
check_eq "begins at nothing again" 0 "$(limits laptop quota_used_bytes)"
check "a packet passes again" wait_for 30 reaches C
check "and is counted" sh -c 'test "$1" -ge 200' - "$(limits laptop quota_used_bytes)"
check "no quota" q peer limit laptop quota=none

# ---- rate ----

# bucket NAME FROM TO ADDRESS: at most the burst and what the time earned, at least most of the burst.
bucket() {
	local began ended got packets bytes most
	began=$(date +%s%N)
	got=$(counted "$2" "$3" "$4" flood 1000 2)
	ended=$(date +%s%N)
	read -r packets bytes <<<"$got"
	most=$((131072 + (ended - began) / 1000)) # 8 Mbit/s: a byte each microsecond
	check "$1: no more than the bucket holds ($bytes of $(cat "$work/sent")000 bytes, at most $most)" \
		test "$bytes" -le "$most"
	check "$1: and not much less" test "$bytes" -ge 65536
}
check "a rate" q peer limit laptop rate_up=8M rate_down=8M
bucket "up" C G 10.8.0.1
check "why counts what was above it" sh -c 'test "$1" -gt 0' - "$(dropped laptop over_rate)"
bucket "down" G C 10.8.0.2
check "nobody else is dropped" test "$(dropped phone over_rate)" = 0
check "the client is still there" reaches C
check "no rate" q peer limit laptop rate_up=none rate_down=none

# ---- end ----

check "an end that has come" q peer limit laptop expires=2020-01-01
check "nothing passes" sh -c '! "$@"' - ip netns exec "q${id}C" ping -c 1 -W 1 10.8.0.1
check_eq "why says so" access_expired "$(why laptop .cause.name)"
check "an end to come" q peer limit laptop expires=2h
check "it passes again" reaches C
check_eq "a list shows limits" true "$(q core list_clients | jq '.data.clients[0].limits.expires != null')"

# ---- others' view ----

get() { # with or without extensions
	ns G python3 - "$if_g" "$1" <<-'PY'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(f"/var/run/wireguard/{sys.argv[1]}.sock")
		s.sendall(b"get=1\n" + sys.argv[2].encode() + b"\n")
		s.settimeout(10)
		text = b""
		while not text.endswith(b"errno=0\n\n"):
		    text += s.recv(65536) or sys.exit("cut off")
		print(text.decode())
	PY
}
check_eq "wg(8) sees nothing new" 0 "$(get "" | grep -c qanat_)"
check_has "who asks sees limits and drops" "$(get $'extensions=1\n' | grep qanat_ | paste -sd' ')" \
	'qanat_expires=[0-9]+ qanat_expires_nsec=[0-9]+ qanat_drop_over_rate=[0-9]+'
check "wg(8) still reads it" ns G wg show "$if_g" dump

stop "$gateway"
