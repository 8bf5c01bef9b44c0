#!/bin/bash
# kernel.sh - the kernel's own WireGuard, in a virtual machine: the table of tests for devices by generic
# netlink, our engine and the kernel as each other's peers, and a gateway on the kernel's device, with further interfaces.
#
#   namespace K                                  | guest
#   qanat-wg  10.77.0.1, fd77::1   (wg device)   | kernel's wg0  10.77.0.2, fd77::2
#   kpN 198.18.N.1, fd18:N::1  ------ tap ------ | eth0 198.18.N.2, fd18:N::2
#
# QANAT_KERNEL: a directory with an unpacked linux-image package.  QANAT_GUEST: where the guest's files are
# kept, so that the next start is quicker (default: thrown away).
. "$(dirname "$0")/../e2e/lib.sh"
. "$(dirname "$0")/table.sh"
. "$(dirname "$0")/further.sh"

here=$top/tests/interop
need qemu-system-x86_64 busybox cpio depmod wg socat tcpdump nft jq python3 "$table"
if ! compgen -G "${QANAT_KERNEL:-/}/boot/vmlinuz-*" >/dev/null; then
	skip "kernel.sh" "no kernel to boot: QANAT_KERNEL names no unpacked linux-image package"
	exit 0
fi
guest=${QANAT_GUEST:-$work/guest}
link=$((id % 200 + 50))
host4=198.18.$link.1 guest4=198.18.$link.2 host6=fd18:$link::1 guest6=fd18:$link::2
dev=kq$id port=51900

g() { "$here/kernel-peer" exec "$guest" -t 180 "$@"; }
stop_guest() { "$here/kernel-peer" stop "$guest"; }
trap 'stop_guest; finish' EXIT

# ---- boot, once for all ----
ns_add K
t0=$SECONDS
if ! "$here/kernel-peer" start "$guest" --ns "q${id}K" --link $link --mem 512 --root "$QANAT_KERNEL" >"$work/boot.log" 2>&1; then
	not_ok "the guest boots" "$(head -c 500 "$work/boot.log")"
	exit
fi
ok "the guest boots"
echo "# $(sed 's/, pid.*//' "$work/boot.log")"

# ---- the kernel's device, by generic netlink ----
"$here/kernel-peer" push "$guest" "$table" /root/backend
g '/root/backend kernel:wgtest' >"$work/table.log" 2>&1
table_rows "kernel by generic netlink" "$work/table.log"
check "the kernel's device is gone after the table" g '! ip link show wgtest 2>/dev/null'

# ---- engine and kernel as peers ----
umask 077
for n in host guest host2 guest2 psk; do wg genkey >"$work/$n.key"; done
pub() { wg pubkey <"$work/$1.key"; }
share() { cp "$work/$1.key" "$guest/kp-share/"; } # into the guest's /kp

ours() { ns K wg set "$dev" "$@"; }
ping4() { ns K ping -c "${1:-2}" -i 0.2 -W 5 10.77.0.2; }
ping6() { ns K ping -c 2 -i 0.2 -W 5 fd77::2; }
# Of the kernel's one peer: a column of `wg show wg0 dump`.
column() { g wg show wg0 dump | awk -v n="$1" 'NR == 2 { print $n }'; }
our_column() { ns K wg show "$dev" dump | awk -v n="$1" 'NR == 2 { print $n }'; }
# Both ends forget their sessions.
fresh() {
	ours peer "$(pub guest)" remove
	ours peer "$(pub guest)" allowed-ips 10.77.0.2/32,fd77::2/128 "$@"
	g "wg set wg0 peer $(pub host) remove; wg set wg0 peer $(pub host) allowed-ips 10.77.0.1/32,fd77::1/128 ${kernel_peer:-}"
}

engine_up() {
	ns K qanat-wg "$dev" && ours listen-port $port private-key "$work/host.key" &&
		ip -n "q${id}K" addr add 10.77.0.1/24 dev "$dev" && ip -n "q${id}K" addr add fd77::1/64 dev "$dev" nodad &&
		ip -n "q${id}K" link set "$dev" up
}
for n in guest guest2 psk; do share $n; done
check "the engine is up" engine_up
check "the kernel's device is up" g "ip link add wg0 type wireguard && wg set wg0 private-key /kp/guest.key listen-port $port &&
	ip addr add 10.77.0.2/24 dev wg0 && ip addr add fd77::2/64 dev wg0 nodad && ip link set wg0 up"

kernel_peer='' fresh endpoint "$guest4:$port"
check "the engine begins: ping" ping4
check "IPv6 inside" ping6
check_has "the kernel saw a handshake" "$(column 5)" '^[1-9]'
check_has "and where the engine is" "$(column 3)" "^$host4:$port\$"

kernel_peer="endpoint $host4:$port" fresh
check "the kernel begins: ping" g ping -c 2 -W 5 10.77.0.1
check_has "the engine learned where the kernel is" "$(our_column 3)" "^$guest4:$port\$"

check "a full packet, not to be fragmented" ns K ping -c 2 -W 5 -M do -s 1392 10.77.0.2
check "the same over IPv6" ns K ping -c 2 -W 5 -M do -s 1372 fd77::2
check "fragmented packets" ns K ping -c 2 -W 5 -s 6000 10.77.0.2
check "from the kernel: full and fragmented" g 'ping -c 1 -W 5 -s 1392 10.77.0.1 && ping -c 1 -W 5 -s 6000 10.77.0.1'

# Every length around the padding and the MTU, in both directions at once.
lengths() {
	local n
	for n in 0 1 3 4 15 16 17 1375 1376 1377 1391 1392; do ns K ping -q -c 1 -W 5 -s $n 10.77.0.2 || return; done
}
check "packets of all kinds of lengths" lengths

# A few megabytes, compared at the other end; emulation is slow.
head -c 3000000 /dev/urandom >"$work/data"
want=$(sha256sum <"$work/data" | cut -d' ' -f1)
g 'nc -l -p 7000 | sha256sum >/root/sum' &
receiver=$!
wait_for 10 g 'ss -ltn | grep -q :7000'
check "TCP to the kernel" ns K timeout 60 socat -u "OPEN:$work/data" TCP:10.77.0.2:7000
wait $receiver
check_eq "nothing is lost or changed" "$want" "$(g "cut -d' ' -f1 /root/sum")"
cp "$work/data" "$guest/kp-share/data"
g 'nc -l -p 7001 </kp/data' &
sender=$!
wait_for 10 g 'ss -ltn | grep -q :7001'
got=$(ns K timeout 60 socat -u TCP:10.77.0.2:7001 - | sha256sum | cut -d' ' -f1)
wait $sender
check_eq "TCP from the kernel: nothing is lost or changed" "$want" "$got"

# ---- keys ----
ours peer "$(pub guest)" preshared-key "$work/psk.key"
g "wg set wg0 peer $(pub host) preshared-key /kp/psk.key"
kernel_peer='preshared-key /kp/psk.key' fresh endpoint "$guest4:$port" preshared-key "$work/psk.key"
check "with a preshared key" ping4
kernel_peer='preshared-key /kp/psk.key' fresh endpoint "$guest4:$port"
check "no way through when only the kernel has one" sh -c "! ip netns exec q${id}K ping -c 2 -i 0.3 -W 1 10.77.0.2"
kernel_peer='' fresh endpoint "$guest4:$port"
check "and again without" ping4

# A new key on one side and then on the other: no other step than telling the peer.
old=$(pub host)
ours private-key "$work/host2.key"
g "wg set wg0 peer $old remove peer $(pub host2) allowed-ips 10.77.0.1/32,fd77::1/128"
check "the engine with a new key" ping4
g "wg set wg0 private-key /kp/guest2.key"
ours peer "$(pub guest)" remove peer "$(pub guest2)" allowed-ips 10.77.0.2/32,fd77::2/128 endpoint "$guest4:$port"
check "the kernel with a new key" ping4
check "from the kernel" g ping -c 2 -W 5 10.77.0.1
mv "$work/host2.key" "$work/host.key"
mv "$work/guest2.key" "$work/guest.key"

# ---- roaming ----
ours listen-port $((port + 1))
check "the engine moves to another port" ping4
check_has "the kernel has followed" "$(column 3)" ":$((port + 1))\$"
g "wg set wg0 listen-port $((port + 2))"
check "the kernel moves to another port" g ping -c 2 -W 5 10.77.0.1
check_has "the engine has followed" "$(our_column 3)" "^$guest4:$((port + 2))\$"
check "and answers there" ping4
ours peer "$(pub guest)" endpoint "[$guest6]:$((port + 2))"
check "by IPv6 from now on" ping4
check_has "the kernel has followed to IPv6" "$(column 3)" "^\\[$host6\\]:$((port + 1))\$"
check "a full packet by IPv6" ns K ping -c 2 -W 5 -M do -s 1392 10.77.0.2
ours peer "$(pub guest)" endpoint "$guest4:$((port + 2))"
check "and back to IPv4" ping4

# ---- keepalives ----
grows() { [ "$("$1" "$2")" -gt "$3" ]; }
before=$(our_column 6)
g "wg set wg0 peer $(pub host) persistent-keepalive 1"
check "the kernel's keepalives arrive" wait_for 10 grows our_column 6 "$before"
g "wg set wg0 peer $(pub host) persistent-keepalive off"
before=$(column 6)
ours peer "$(pub guest)" persistent-keepalive 1
check "the engine's keepalives arrive" wait_for 10 grows column 6 "$before"
ours peer "$(pub guest)" persistent-keepalive off

# ---- ECN (RFC 6040): out with the inner packet's mark, in with congestion added ----
# mark HOOK MATCH: outer datagrams leave or arrive with "congestion experienced".
mark() {
	ns K nft "add table ip marks; add chain ip marks c { type filter hook $1 priority -300; };
		add rule ip marks c udp $2 $((port + ${3:-1})) ip ecn set ce"
}
# tos_of FILTER COMMAND...: the TOS byte of the first packet on a device that matches.
tos_of() {
	local on=$1 filter=$2 pid
	shift 2
	ns K timeout 20 tcpdump -i "$on" -n -v -c 1 -l "$filter" >"$work/tcpdump.out" 2>"$work/tcpdump.err" &
	pid=$!
	wait_for 5 grep -q listening "$work/tcpdump.err"
	"$@" >/dev/null 2>&1
	wait $pid
	grep -o 'tos 0x[0-9a-f]*' "$work/tcpdump.out" | head -n 1
}
ect_ping() { ns K ping -c 2 -i 0.3 -W 5 -Q 0x02 10.77.0.2; }
check_eq "the engine's datagrams carry ECT" "tos 0x2" "$(tos_of "kp$link" "udp and src $host4" ect_ping)"
check_eq "and so do the kernel's" "tos 0x2" "$(tos_of "kp$link" "udp and src $guest4" ect_ping)"
mark prerouting sport 2
check_eq "congestion on the way to the engine reaches the packet" "tos 0x3" \
	"$(tos_of "$dev" "icmp[icmptype] == icmp-echoreply" ect_ping)"
ns K nft delete table ip marks
check_eq "a packet without ECN gets none" "" "$(tos_of "$dev" "icmp[icmptype] == icmp-echoreply" ping4 | grep -v 'tos 0x0')"
mark postrouting dport 2
check_eq "congestion on the way to the kernel comes back in its answer" "tos 0x3" \
	"$(tos_of "$dev" "icmp[icmptype] == icmp-echoreply" ect_ping)"
ns K nft delete table ip marks

# ---- a gateway whose packets the kernel carries ----
for program in qanat qanat-gateway; do
	check "$program goes into the guest" "$here/kernel-peer" push "$guest" "$(type -P $program)" /usr/bin/$program
done
cat >"$guest/kp-share/gw" <<END
#!/bin/sh
# gw start | ready N | VERB...: the gateway in the guest, and qanat core
case \$1 in
start) setsid qanat-gateway --state /root/state --socket /run/gw.sock --interface wgg --port 51999 --network 10.88.0.0/24 \
	--network6 none --endpoint $guest4 --backend "\$2" >>/root/gw.log 2>&1 </dev/null & echo \$! >/root/gw.pid ;;
ready) for i in \$(seq 600); do [ "\$(grep -c gateway.ready /root/gw.log)" -ge "\$2" ] && exit; sleep 0.1; done; cat /root/gw.log; exit 1 ;;
stop) kill \$(cat /root/gw.pid); for i in \$(seq 100); do [ -d /proc/\$(cat /root/gw.pid) ] || exit 0; sleep 0.1; done; exit 1 ;;
*) qanat --socket /run/gw.sock core "\$@" --json ;;
esac
END
gw() { g sh /kp/gw "$@"; }
# The client's file, as it is exported: a device of ours with it.
client_up() {
	local conf
	conf=$(gw export_client client_name=one | jq -r .data.config) || return
	grep -vE '^(Address|DNS|MTU)' <<<"$conf" >"$work/client.conf"
	ns K qanat-wg "c$dev" && ns K wg setconf "c$dev" "$work/client.conf" &&
		ip -n "q${id}K" addr add "$(sed -n 's/^Address *= *\([0-9.]*\).*/\1/p' <<<"$conf")/24" dev "c$dev" &&
		ip -n "q${id}K" link set "c$dev" up
}
# The guest loads its modules for nft here, which may take it longer than the gateway waits.
g 'printf "table inet warm { chain a { type nat hook postrouting priority 100; masquerade; }
	chain b { type filter hook forward priority 0; tcp flags syn tcp option maxseg size set rt mtu; counter; }; }" | nft -f - && nft delete table inet warm'
gw start auto
check "a gateway starts in the guest" gw ready 1
check_has "auto is the kernel there" "$(g cat /root/gw.log)" 'backend.*kernel'
check_has "its interface is the kernel's" "$(g ip -d link show wgg)" 'wireguard'
check_has "a client is added" "$(gw add_client client_name=one)" '"success": *true'
check "its file is a tunnel of ours" client_up
check "the client reaches the gateway" ns K ping -c 2 -i 0.2 -W 5 10.88.0.1
check_has "which sees it connected" "$(gw server_status)" '"active_connections": *1'
check_has "status names the module" "$(gw server_status)" '"wireguard_module": *"kernel"'
check_has "limits are refused by name" "$(gw set_client_limits client_name=one quota=1M)" 'limits need the engine'
before="$(g ip -o link show wgg | cut -d: -f1) $(g wg show wgg latest-handshakes)"
ns K ping -q -i 0.05 -c 200 10.88.0.1 >"$work/restart.ping" 2>&1 &
pinging=$!
g 'kill -USR2 $(cat /root/gw.pid)'
check "it restarts in place" gw ready 2
wait $pinging
check_has "no packet is lost meanwhile" "$(cat "$work/restart.ping")" '200 received'
check_eq "interface and session are the same" "$before" "$(g ip -o link show wgg | cut -d: -f1) $(g wg show wgg latest-handshakes)"
g 'kill -9 $(cat /root/gw.pid)'
gw start kernel
check "after a crash it takes its interface over" gw ready 3
check "the client goes on" ns K ping -c 2 -i 0.2 -W 5 10.88.0.1
g ip link del wgg
check "an interface deleted under it is made anew" gw ready 4
check "with its client" g 'wg show wgg peers | grep -q .'
check "it stops" gw stop
check "and its interface has gone" g '! ip link show wgg 2>/dev/null'
ip -n "q${id}K" link del "c$dev"

# ---- further interfaces of it ----
cat >"$guest/kp-share/gwf" <<END
#!/bin/sh
# gwf start|restart|kill|stop|clean-up
set -- "\$1" --state /root/further --socket /run/gwf.sock --interface wgg --port 51999 --network 10.88.0.0/24 --network6 fd88::/64 \
	--endpoint $guest4 --backend kernel
did=\$1; shift
ready() { for i in \$(seq 600); do [ "\$(grep -c gateway.ready /root/gwf.log)" -gt "\$1" ] && return; sleep 0.1; done; cat /root/gwf.log; return 1; }
n=\$(grep -c gateway.ready /root/gwf.log 2>/dev/null) pid=\$(cat /root/gwf.pid 2>/dev/null)
case \$did in
start) : >/root/gwf.log; WG_AGENT_SECRET=$agent_secret setsid qanat-gateway "\$@" >>/root/gwf.log 2>&1 </dev/null & echo \$! >/root/gwf.pid; ready 0 ;;
restart) kill -USR2 \$pid; ready \$n ;;
kill) killall -9 qanat-gateway; for i in \$(seq 50); do pidof qanat-gateway >/dev/null || exit 0; sleep 0.1; done; exit 1 ;;
stop) kill \$pid; for i in \$(seq 100); do [ -d /proc/\$pid ] || exit 0; sleep 0.1; done; exit 1 ;;
clean-up) exec qanat-gateway "\$@" --clean-up ;;
esac
END
further_ns=K further_at=$guest4 agent_url=https://$guest4:8080 further_iface=wgg further_port=51999 further_own='wgg|10\.88\.|fd88:|gwf\.sock' further_socket=/run/gwf.sock
at() { g "$*"; }
gw() { g sh /kp/gwf "$1"; }
take_port() { g "ip link add taker type wireguard && wg set taker listen-port $1 && ip link set taker up"; }
free_port() { g 'ip link del taker'; }
further_tests kernel
gw start >/dev/null
share host
g 'wg set wgg private-key /kp/host.key' # somebody else's from now on
gw kill
check "cleaning up after another has taken the name" gw clean-up
check "leaves him his interface" g ip link show wgg
g 'ip link del wgg'

check_eq "the guest's kernel complained of nothing" "" "$(g dmesg | grep -E 'BUG:|WARNING:|Oops|general protection|Call Trace' | head -n 3)"
ip -n "q${id}K" link del "$dev"
echo "# $((SECONDS - t0)) s in all"
exit
