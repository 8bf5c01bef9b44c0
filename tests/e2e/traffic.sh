#!/bin/bash
# traffic.sh [qanat|control] - real traffic of real WireGuard clients through a gateway to "the internet".
#
#    client host C                gateway host G                   "internet" host I
#   192.0.2.2/24 ----------- 192.0.2.1   198.51.100.1 ----------- 198.51.100.2/24
#   2001:db8:1::2/64 ------- ...:1::1    ...:2::1 --------------- 2001:db8:2::2/64
#   wireguard-go             qanat-gateway                        HTTP :80, DNS :53
#    client host D  (192.0.2.20, 2001:db8:1::20, second link to G's bridge)
#
# `control` puts wireguard-go on the gateway's side too: what fails there is the test's fault, not ours.
. "$(dirname "$0")/lib.sh"
mode=${1:-qanat}
need wireguard-go wg wg-quick curl nft python3 ping jq dig nsenter
size=100000000
if_c=qc$id if_d=qd$id if_g=qg$id

# ---- hosts ----
for n in C D G I; do ns_add $n || exit 1; done
ip -n "q${id}G" link add br0 type bridge && ip -n "q${id}G" link set br0 up
link_add C eth0 G toC && link_add D eth0 G toD && link_add G up0 I eth0 || exit 1
ip -n "q${id}G" link set toC master br0 && ip -n "q${id}G" link set toD master br0
addr_add G br0 192.0.2.1/24 2001:db8:1::1/64
addr_add C eth0 192.0.2.2/24 2001:db8:1::2/64
addr_add D eth0 192.0.2.20/24 2001:db8:1::20/64
addr_add G up0 198.51.100.1/24 2001:db8:2::1/64
addr_add I eth0 198.51.100.2/24 2001:db8:2::2/64
ip -n "q${id}G" route add default via 198.51.100.2
ip -n "q${id}G" -6 route add default via 2001:db8:2::2
ns_spawn I internet.log python3 "$top/tests/e2e/internet.py" 80 198.51.100.2
wait_for 10 ns I curl -s http://127.0.0.1/ip || { not_ok "internet host answers" "$(cat "$work/internet.log")"; exit 1; }
want=$(ns I curl -s "http://127.0.0.1/hash/$size")

before_state() { # what must be the same after the gateway has stopped
	ip -n "q${id}G" addr; ip -n "q${id}G" route show table all; ip -n "q${id}G" -6 route show table all
	ip -n "q${id}G" rule; ip -n "q${id}G" -6 rule
	ns G nft list ruleset
	ns G cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
}
# Lifetimes and counters move by themselves.
snapshot() { before_state | sed -E 's/ (valid_lft|preferred_lft|expires) [^ ]+//g; s/qlen [0-9]+//; /fe80::/d; s/ tentative//' | sort; }
snapshot >"$work/before"

# ---- the gateway ----
gateway_start() {
	if [ "$mode" = control ]; then
		ns_spawn G gateway.log env WG_PROCESS_FOREGROUND=1 wireguard-go -f "$if_g"
		gateway=$spawned
		wait_for 10 test -S "/var/run/wireguard/$if_g.sock" || return 1
		ns G wg setconf "$if_g" "$work/server.conf" || return 1
		addr_add G "$if_g" 10.8.0.1/24 fd00:8::1/64
		ip -n "q${id}G" link set "$if_g" mtu 1420 up
		ns G sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
		ns G nft -f - <<-NFT
			table inet control { chain post { type nat hook postrouting priority 100
				ip saddr 10.8.0.0/24 oifname != "$if_g" masquerade
				ip6 saddr fd00:8::/64 oifname != "$if_g" masquerade
			}
			}
		NFT
	else
		ns_spawn G gateway.log qanat-gateway --state "$work/state" --socket "$work/control.sock" \
			--interface "$if_g" --endpoint 192.0.2.1 --network6 fd00:8::/64
		gateway=$spawned
		wait_for 15 qanat --socket "$work/control.sock" core server_status
	fi
}
q() { qanat --socket "$work/control.sock" --json core "$@"; }

client_keys() { # NAME HOST-NUMBER: the control's stand-in for core add_client
	local key psk
	key=$(wg genkey) psk=$(wg genpsk)
	cat >"$work/$1.conf" <<-CONF
		[Interface]
		PrivateKey = $key
		Address = 10.8.0.$2/24, fd00:8::$2/64
		DNS = 198.51.100.2
		MTU = 1420
		[Peer]
		PublicKey = $(wg pubkey <<<"$server_key")
		PresharedKey = $psk
		Endpoint = 192.0.2.1:51820
		AllowedIPs = 0.0.0.0/0, ::/0
		PersistentKeepalive = 25
	CONF
	printf '[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.8.0.%s/32, fd00:8::%s/128\n' \
		"$(wg pubkey <<<"$key")" "$psk" "$2" "$2" >>"$work/server.conf"
}
if [ "$mode" = control ]; then
	server_key=$(wg genkey)
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$server_key" >"$work/server.conf"
	client_keys alice 2
	client_keys bob 3
	check "gateway starts" gateway_start
else
	check "gateway starts" gateway_start || cat "$work/gateway.log"
	check "dns servers are set for new clients" test -n "$(q server_status | jq -r '.data.configuration.dns[0]')"
	for name in alice bob; do
		check "add_client $name" q add_client client_name=$name
		check "export_client $name --out" qanat --socket "$work/control.sock" core export_client \
			client_name=$name --out "$work/$name.conf"
	done
fi

# ---- a client brought up from its file: Debian's wireguard-go and wg setconf ----
# client_up NS IFACE FILE: only the inner networks and the internet's prefixes go through the tunnel, so
# that the underlay stays reachable without policy routing.
client_up() {
	local n=$1 dev=$2 file=$3 a
	ns_spawn "$n" "$dev.log" env WG_PROCESS_FOREGROUND=1 wireguard-go -f "$dev"
	client_pid=$spawned
	wait_for 10 test -S "/var/run/wireguard/$dev.sock" || return 1
	wg-quick strip "$file" >"$work/$dev.strip" || return 1
	ns "$n" wg setconf "$dev" "$work/$dev.strip" || return 1
	for a in $(sed -n 's/^Address *= *//p' "$file" | tr ',' ' '); do addr_add "$n" "$dev" "$a" || return 1; done
	ip -n "q$id$n" link set "$dev" mtu "$(sed -n 's/^MTU *= *//p' "$file")" up || return 1
	ip -n "q$id$n" route add 198.51.100.0/24 dev "$dev" &&
		ip -n "q$id$n" -6 route add 2001:db8:2::/64 dev "$dev"
}
inner() { sed -n 's/^Address *= *//p' "$work/$1.conf" | tr -d ' ' | tr ',' '\n' | sed 's#/.*##' | sed -n "$2p"; }
check "client alice comes up" client_up C "$if_c" "$work/alice.conf"
alice_pid=$client_pid
check "client bob comes up" client_up D "$if_d" "$work/bob.conf"

# ---- handshake, ping, bulk both ways, IPv6, DNS ----
check "handshake and ping, IPv4" ns C ping -c 3 -i 0.2 -W 5 198.51.100.2
check "ping, IPv6" ns C ping -6 -c 3 -i 0.2 -W 5 2001:db8:2::2
check_has "a handshake is shown" "$(ns C wg show "$if_c" latest-handshakes)" '[1-9][0-9]{9}$'
check_eq "traffic is masqueraded, IPv4" 198.51.100.1 "$(ns C curl -s -m 10 http://198.51.100.2/ip | sed 's/^::ffff://')"
check_eq "traffic is masqueraded, IPv6" 2001:db8:2::1 "$(ns C curl -s -m 10 'http://[2001:db8:2::2]/ip')"
check_eq "DNS through the tunnel" 198.51.100.2 "$(ns C dig +short +time=3 @198.51.100.2 www.test A)"
down() { ns C curl -s -m 120 "http://$1/blob/$size" | sha256sum | cut -d' ' -f1; }
up() { ns I curl -s "http://127.0.0.1/blob/$size" >"$work/blob"; ns C curl -s -m 120 -T "$work/blob" "http://$1/up"; }
check_eq "100 MB down over TCP, IPv4" "$want" "$(down 198.51.100.2)"
check_eq "100 MB up over TCP, IPv4" "$want" "$(up 198.51.100.2)"
check_eq "100 MB down over TCP, IPv6" "$want" "$(down '[2001:db8:2::2]')"
check_eq "100 MB up over TCP, IPv6" "$want" "$(up '[2001:db8:2::2]')"

# ---- two clients reach each other ----
check "client reaches client, IPv4" ns C ping -c 2 -i 0.2 -W 5 "$(inner bob 1)"
check "client reaches client, IPv6" ns D ping -6 -c 2 -i 0.2 -W 5 "$(inner alice 2)"

# ---- roaming in mid-transfer ----
slow_down() { ns C curl -s -m 120 --limit-rate 25M "http://198.51.100.2/blob/$size" | sha256sum | cut -d' ' -f1 >"$work/$1"; }
slow_down roam &
transfer=$!
sleep 1.5
check "transfer runs while the client moves" kill -0 $transfer
addr_add C eth0 192.0.2.3/24 && ip -n "q${id}C" addr del 192.0.2.2/24 dev eth0
addr_add C eth0 192.0.2.3/24 2>/dev/null
wait $transfer
check_eq "transfer survives roaming" "$want" "$(cat "$work/roam")"
if [ "$mode" = qanat ]; then
	check_has "the gateway followed the client" "$(ns G wg show "$if_g" endpoints)" '192\.0\.2\.3:'
fi

# ---- a spoofed inner source is dropped and counted ----
drops() { q server_status | jq .data.drops.source_not_allowed; }
ip -n "q${id}C" addr add 10.8.0.99/32 dev "$if_c"
if [ "$mode" = qanat ]; then
	drops_before=$(drops)
	check "a spoofed source gets no answer" bash -c "! ip netns exec q${id}C ping -c 3 -i 0.2 -W 1 -I 10.8.0.99 198.51.100.2"
	check "the drops are counted" test "$(drops)" -ge $((drops_before + 3))
else
	check "a spoofed source gets no answer" bash -c "! ip netns exec q${id}C ping -c 3 -i 0.2 -W 1 -I 10.8.0.99 198.51.100.2"
fi
ip -n "q${id}C" addr del 10.8.0.99/32 dev "$if_c"

# ---- the gateway restarts in mid-transfer ----
# survives NAME COMMAND...: a transfer is running while the command restarts the gateway.
survives() {
	local name=$1 transfer begin=$SECONDS
	shift
	slow_down restart &
	transfer=$!
	sleep 1.5
	check "transfer runs before $name" kill -0 $transfer
	check "$name" "$@"
	wait $transfer
	check_eq "transfer survives $name" "$want" "$(cat "$work/restart")"
	echo "# $((SECONDS - begin)) s with $name, 4 s without"
}
in_place() { # answers again, under the same pid
	kill -USR2 "$gateway" && sleep 0.5 && wait_for 15 qanat --socket "$work/control.sock" core server_status
}
crash() {
	stop "$gateway" KILL
	gateway_start
}
full() {
	stop "$gateway"
	gateway_start
}
if [ "$mode" = control ]; then
	survives "a restart" full
else
	survives "a restart in place" in_place
	survives "a crash and a start" crash
	check "a full stop and a start" full
	check "the client goes on after a full stop" ns C ping -c 3 -i 0.2 -W 20 198.51.100.2
fi

# ---- wg-quick with our own daemon ----
if [ "$mode" = qanat ]; then
	stop "$alice_pid"
	mkdir -p "$work/bin" && printf '#!/bin/sh\nexec cat >/dev/null\n' >"$work/bin/resolvconf" && chmod +x "$work/bin/resolvconf"
	cp "$work/alice.conf" "$work/$if_c.conf"
	quick() { ns C env PATH="$work/bin:$PATH" WG_QUICK_USERSPACE_IMPLEMENTATION=qanat-wg wg-quick "$1" "$work/$if_c.conf"; }
	check "wg-quick up with qanat-wg" quick up
	check "ping through wg-quick's tunnel" ns C ping -c 3 -i 0.2 -W 5 198.51.100.2
	check_eq "100 MB down, all traffic in the tunnel" "$want" "$(down 198.51.100.2)"
	check "wg-quick down" quick down
	check "its daemon ended" wait_for 5 bash -c "! test -e /var/run/wireguard/$if_c.sock"
	check "client alice comes up again" client_up C "$if_c" "$work/alice.conf"
	check "ping again" ns C ping -c 2 -i 0.2 -W 5 198.51.100.2

	# ---- removal cuts off at once ----
	check "remove_client alice" q remove_client client_name=alice
	check "a removed client is cut off" bash -c "! ip netns exec q${id}C ping -c 3 -i 0.2 -W 1 198.51.100.2"
	check "the other client is not" ns D ping -c 2 -i 0.2 -W 5 198.51.100.2

	# ---- stopping leaves nothing ----
	stop "$gateway"
	check_eq "gateway ends with status" 0 "$stopped"
	snapshot >"$work/after"
	check "nothing is left on the gateway's host" diff "$work/before" "$work/after"
fi
