#!/bin/bash
# wgd.sh - qanat-wg as a drop-in: wg(8) and wg-quick(8) see no difference to wireguard-go, and packets flow.
#
#    host A                                  host B
#    192.0.2.1/24, 2001:db8::1/64 ---------- 192.0.2.2/24, 2001:db8::2/64
#    qa (10.9.0.1, fd00:9::1)                qb (10.9.0.2, fd00:9::2)
#
# Each pair of daemons is tried over IPv4 and over IPv6.  Interface names carry the pid, since the
# sockets in /var/run/wireguard are the whole machine's.
. "$(dirname "$0")/lib.sh"
need wireguard-go wg wg-quick curl python3 ping nsenter
here=$top/tests/e2e
if_a=qa$id if_b=qb$id
size=20000000

ns_add A && ns_add B && ns_add C || exit 1
link_add A eth0 B eth0 || exit 1
addr_add A eth0 192.0.2.1/24 2001:db8::1/64
addr_add B eth0 192.0.2.2/24 2001:db8::2/64

key() { wg genkey; }
key_a=$(key) key_b=$(key) psk=$(wg genpsk)
pub_a=$(wg pubkey <<<"$key_a") pub_b=$(wg pubkey <<<"$key_b") pub_x=$(key | wg pubkey)
printf '%s\n' "$key_a" >"$work/key_a"
printf '%s\n' "$key_b" >"$work/key_b"
printf '%s\n' "$psk" >"$work/psk"

sock() { echo "/var/run/wireguard/$1.sock"; }
has_link() { ip -n "q$id$1" link show dev "$2" >/dev/null 2>&1; }
no_link() { ! has_link "$@"; }

# daemon_start PROGRAM NS IFNAME [ENV...]: in the foreground; the pid is in $daemon.
daemon_start() {
	local program=$1 n=$2 dev=$3
	shift 3
	ns_spawn "$n" "$dev.log" env WG_PROCESS_FOREGROUND=1 "$@" "$program" "$dev"
	daemon=$spawned
	wait_for 20 test -S "$(sock "$dev")" && wait_for 20 has_link "$n" "$dev" && wait_for 20 ns "$n" wg show "$dev"
}
# daemon_stop PID IFNAME: it has to end well and to leave nothing.
daemon_stop() {
	stop "$1"
	[ "$stopped" = 0 ] && [ ! -e "$(sock "$2")" ]
}

# A client that stops in mid-request is dropped after 30 s; the end of this script looks at how it went.
check "qanat-wg starts for the silent client" daemon_start qanat-wg C "q8$id"
silent_daemon=$daemon
spawn silent.out timeout 120 python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"set=1\nfwmark=7\n"); print(s.recv(100))' "$(sock "q8$id")"
silent=$spawned

# ---- the same conversation with both daemons ----

cat >"$work/set.conf" <<CONF
# a comment
[Interface]
PrivateKey = $key_b
ListenPort = 40001
FwMark = 0x1f

[Peer]
PublicKey = $pub_a
PresharedKey = $psk
AllowedIPs = 10.1.0.0/16, fd01::/64, 10.2.3.4
Endpoint = [2001:db8::7]:1234
PersistentKeepalive = 17

[Peer]
PublicKey = $pub_x
CONF
cat >"$work/sync.conf" <<CONF
[Interface]
PrivateKey = $key_b
ListenPort = 40002
[Peer]
PublicKey = $pub_x
AllowedIPs = 10.1.0.0/16
Endpoint = 192.0.2.9:9
CONF
printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.0/16\nPersistentKeepalive = 5\n' "$pub_b" >"$work/add.conf"
printf '[Interface]\nListenPort = 40004\n[Peer]\nPublicKey = %s\n' "$pub_b" >"$work/few.conf"
printf '[Interface]\nPrivateKey = nonsense\n' >"$work/bad.conf"
printf '[Peer]\nAllowedIPs = 10.7.0.0/16\n' >"$work/nokey.conf"

# Runs a command in A; prints it, what it said and its status, without the interface's name.
tell() {
	local said status
	said=$(ns A "$@" 2>&1)
	status=$?
	printf '$ %s\n%s\n[%s]\n' "$*" "$said" "$status" | sed "s/$dev/IFACE/g"
}
raw() { tell python3 "$here/uapi_raw.py" "$dev" "$1"; }

conversation() {
	local hex_a
	hex_a=$(base64 -d <<<"$pub_a" | od -An -v -tx1 | tr -d ' \n')
	tell wg set "$dev" listen-port 40000
	tell wg show "$dev"
	tell wg set "$dev" private-key "$work/key_a"
	tell wg show "$dev" public-key
	tell wg set "$dev" fwmark 0x1234
	tell wg show "$dev" fwmark
	tell wg set "$dev" fwmark 0
	tell wg set "$dev" peer "$pub_b" preshared-key "$work/psk" endpoint 192.0.2.2:5 persistent-keepalive 25 \
		allowed-ips 10.0.0.5/8,fd00::1/64,::/0,0.0.0.0/0
	tell wg set "$dev" peer "$pub_x" endpoint '[2001:db8::9]:65535' allowed-ips 10.0.0.0/8
	tell wg show "$dev"
	tell wg show "$dev" dump
	local what
	for what in public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips \
		latest-handshakes transfer persistent-keepalive; do
		tell wg show "$dev" "$what"
	done
	tell wg showconf "$dev"
	tell wg set "$dev" peer "$pub_b" preshared-key /dev/null persistent-keepalive off allowed-ips ''
	tell wg showconf "$dev"
	tell wg set "$dev" peer "$pub_x" remove peer "$pub_x" remove
	tell wg set "$dev" peer "$pub_a" allowed-ips 10.3.0.0/16 # its own key: ignored
	tell wg show "$dev" allowed-ips
	tell wg setconf "$dev" "$work/set.conf"
	tell wg showconf "$dev"
	tell wg addconf "$dev" "$work/add.conf"
	tell wg showconf "$dev"
	tell wg syncconf "$dev" "$work/sync.conf"
	tell wg showconf "$dev"
	tell wg setconf "$dev" "$work/few.conf"
	tell wg showconf "$dev"

	tell wg set "$dev" private-key "$work/bad.conf"
	tell wg set "$dev" private-key /nonexistent
	tell wg set "$dev" listen-port 99999x
	tell wg set "$dev" fwmark 0x1ffffffff
	tell wg set "$dev" peer nonsense
	tell wg set "$dev" peer "$pub_x" endpoint nowhere
	tell wg set "$dev" peer "$pub_x" endpoint 192.0.2.1:99999
	tell wg set "$dev" peer "$pub_x" persistent-keepalive 70000
	tell wg set "$dev" peer "$pub_x" allowed-ips 10.0.0.0/33
	tell wg setconf "$dev" "$work/bad.conf"
	tell wg setconf "$dev" "$work/nokey.conf"
	tell wg setconf "$dev" /nonexistent
	tell wg set "$dev" listen-port 7777 # somebody else's
	tell wg set "$dev" listen-port 40003
	tell wg show "$dev" listen-port
	tell wg show "${dev}x"
	tell wg set "${dev}x" listen-port 1

	local line
	for line in 'listen_port' 'listen_port=65536' 'listen_port=' 'listen_port=-1' 'fwmark=0x1' 'fwmark=' \
		'private_key=12' 'replace_peers=false' 'remove=true' 'nonsense=1' 'set=1' 'public_key=12' \
		"public_key=$hex_a\nlisten_port=1" "public_key=$hex_a\nremove=false" "public_key=$hex_a\nendpoint=x" \
		"public_key=$hex_a\nendpoint=192.0.2.1" "public_key=$hex_a\nallowed_ip=10.0.0.0" \
		"public_key=$hex_a\nallowed_ip=10.0.0.0/33" "public_key=$hex_a\npersistent_keepalive_interval=65536" \
		"public_key=$hex_a\nprotocol_version=2" "public_key=$hex_a\npreshared_key=1" \
		"public_key=$hex_a\nupdate_only=x" "public_key=$hex_a\nremove=true" 'fwmark=7'; do
		raw "set=1\n$line\n\n"
	done
	raw "set=1\npublic_key=$hex_a\nupdate_only=true\nallowed_ip=10.8.0.0/16\n\n"
	raw 'set=1\nreplace_peers=true\n\n'
	raw 'get=1\n\n'
}

ns_spawn A port.log python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 7777)); time.sleep(600)'
port_holder=$spawned
for program in wireguard-go qanat-wg; do
	dev=$if_a
	check "$program starts for the conversation" daemon_start $program A "$dev"
	ip -n "q${id}A" link set "$dev" up
	conversation >"$work/talk.$program"
	stop "$daemon"
done
check "qanat-wg starts for a port in use" daemon_start qanat-wg A "$if_a"
ip -n "q${id}A" link set "$if_a" up
ns A wg set "$if_a" listen-port 40003
not_set() { ! ns A wg set "$if_a" listen-port 7777; }
check "a port in use is refused" not_set
check_eq "and the old one stays" 40003 "$(ns A wg show "$if_a" listen-port)"
check "it ends well" daemon_stop "$daemon" "$if_a"
kill "$port_holder"
[ "$(wc -l <"$work/talk.qanat-wg")" -gt 200 ] || not_ok "the conversation took place" "$(head -c 400 "$work/talk.qanat-wg")"
# One check for each command: the paragraphs of both conversations side by side.
while IFS=$'\t' read -r verdict command detail; do
	if [ "$verdict" = same ]; then ok "as wireguard-go: $command"; else not_ok "as wireguard-go: $command" "$detail"; fi
done < <(python3 - "$work/talk.wireguard-go" "$work/talk.qanat-wg" <<'PY'
import sys
def paragraphs(path):
    parts = ("\n" + open(path).read()).split("\n$ ")[1:]
    return [tuple(p.rstrip("\n").split("\n", 1)) for p in parts]
theirs, ours = map(paragraphs, sys.argv[1:3])
if len(theirs) != len(ours):
    print(f"differ\tnumber of commands\t{len(theirs)} and {len(ours)}")
for (command, want), (again, got) in zip(theirs, ours):
    same = command == again and sorted(want.split("\n")) == sorted(got.split("\n"))
    detail = "" if same else f"wanted {want!r}, got {got!r}"
    print("same" if same else "differ", command[:120], detail, sep="\t")
PY
)

# wireguard-go forgets the scope of an endpoint; the kernel and we do not.
check "qanat-wg starts for an endpoint with a scope" daemon_start qanat-wg A "$if_a"
ns A wg set "$if_a" peer "$pub_x" endpoint '[fe80::1%eth0]:7'
check_eq "it is shown with its scope" '[fe80::1%eth0]:7' "$(ns A wg show "$if_a" endpoints | cut -f2)"
check "it ends" daemon_stop "$daemon" "$if_a"

# ---- packets between every two daemons, over both families ----

tunnel_up() { # PROGRAM_A PROGRAM_B OUTER_A OUTER_B
	daemon_start "$1" A "$if_a" && daemon_a=$daemon || return 1
	daemon_start "$2" B "$if_b" && daemon_b=$daemon || return 1
	ns A wg set "$if_a" private-key "$work/key_a" listen-port 51820 peer "$pub_b" preshared-key "$work/psk" \
		endpoint "$4:51820" allowed-ips 10.9.0.2/32,fd00:9::2/128 || return 1
	ns B wg set "$if_b" private-key "$work/key_b" listen-port 51820 peer "$pub_a" preshared-key "$work/psk" \
		allowed-ips 10.9.0.1/32,fd00:9::1/128 || return 1
	addr_add A "$if_a" 10.9.0.1/24 fd00:9::1/64
	addr_add B "$if_b" 10.9.0.2/24 fd00:9::2/64
	ip -n "q${id}A" link set "$if_a" up && ip -n "q${id}B" link set "$if_b" up
}
tunnel_down() {
	daemon_stop "$daemon_a" "$if_a" && daemon_stop "$daemon_b" "$if_b" && no_link A "$if_a" && no_link B "$if_b"
}

ns_spawn B http.log python3 "$here/internet.py" 80 127.0.0.1
wait_for 10 ns B curl -s http://127.0.0.1/ip || { not_ok "HTTP server starts" "$(cat "$work/http.log")"; exit 1; }
want=$(ns B curl -s "http://127.0.0.1/hash/$size")
ns B curl -s "http://127.0.0.1/blob/$size" >"$work/blob"
down() { ns A curl -s -m 120 "http://$1/blob/$size" | sha256sum | cut -d' ' -f1; }
up() { ns A curl -s -m 120 -T "$work/blob" "http://$1/up"; }

for pair in "qanat-wg qanat-wg" "qanat-wg wireguard-go" "wireguard-go qanat-wg"; do
	for outer in "192.0.2.1 192.0.2.2" "[2001:db8::1] [2001:db8::2]"; do
		set -- $pair $outer
		what="$1 to $2 over ${4}"
		check "$what: both start" tunnel_up "$@"
		check "$what: ping, IPv4" ns A ping -c 3 -i 0.2 -W 5 10.9.0.2
		check "$what: ping, IPv6" ns A ping -6 -c 3 -i 0.2 -W 5 fd00:9::2
		check "$what: ping of full size" ns B ping -c 3 -i 0.2 -W 5 -s 1392 -M do 10.9.0.1
		check_eq "$what: 20 MB down, IPv4" "$want" "$(down 10.9.0.2)"
		check_eq "$what: 20 MB up, IPv4" "$want" "$(up 10.9.0.2)"
		check_eq "$what: 20 MB down, IPv6" "$want" "$(down '[fd00:9::2]')"
		check_eq "$what: 20 MB up, IPv6" "$want" "$(up '[fd00:9::2]')"
		check_has "$what: the handshake is shown" "$(ns A wg show "$if_a" latest-handshakes)" '[1-9][0-9]{9}$'
		check_has "$what: the endpoint was learned" "$(ns B wg show "$if_b" endpoints)" "$(sed 's/[].[]/\\&/g' <<<"$3"):51820"
		check_has "$what: the traffic is counted" "$(ns B wg show "$if_b" transfer)" '[0-9]{8}.[0-9]{8}$'
		check "$what: both end and leave nothing" tunnel_down
	done
done

# ---- more clients than there is room for ----

check "qanat-wg starts for many clients" daemon_start qanat-wg A "$if_a"
check "65 clients that wait do no harm once they are gone" timeout 60 python3 - "$(sock "$if_a")" <<'PY'
import socket, sys
waiting = []
for _ in range(65):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    waiting.append(s)
for s in waiting:
    s.close()
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(20)
s.sendall(b"get=1\n\n")
assert s.recv(1000).endswith(b"errno=0\n\n")
PY
check "wg reaches it after that" ns A wg show "$if_a"
check_has "wg lists it" "$(ns A wg show interfaces)" "(^| )$if_a( |\$)"
check "it ends with SIGHUP too" stop "$daemon" HUP
check_eq "with status" 0 "$stopped"

# ---- into the background ----

background() { ns A env "$@" timeout 20 qanat-wg "$if_a" </dev/null >"$work/background.out" 2>&1; }
check "the command returns when the interface is ready" background
check "the interface is there at once" has_link A "$if_a"
check "wg reaches it at once" ns A wg show "$if_a"
check_eq "nothing was printed" "" "$(cat "$work/background.out")"
check_eq "the socket is the owner's alone" "600 srw-------" "$(stat -c '%a %A' "$(sock "$if_a")")"
background_pid=$(pgrep -xf "qanat-wg $if_a")
pids+=("$background_pid")
check_eq "one process is left" 1 "$(wc -w <<<"$background_pid")"
check "it has no core dumps" grep -q 'Max core file size *0 *0 ' "/proc/$background_pid/limits"
check_has "it takes no new privileges" "$(cat "/proc/$background_pid/status")" 'NoNewPrivs:.1'
not_background() { ! background; }
check "a second one for the same interface fails" not_background
check_has "and names interface and socket" "$(cat "$work/background.out")" "^qanat-wg: interface $if_a: socket .*$if_a.sock is in use"
check "the first one is untouched" ns A wg show "$if_a"
check_eq "its streams do not hold up who started it" /dev/null "$(readlink "/proc/$background_pid/fd/2")"
check "deleting the interface" ip -n "q${id}A" link del "$if_a"
check "ends the process" wait_for 10 gone "$background_pid"
check "and removes its socket" test ! -e "$(sock "$if_a")"

check "started again" background
background_pid=$(pgrep -xf "qanat-wg $if_a")
pids+=("$background_pid")
rm -f "$(sock "$if_a")"
check "removing the socket ends the process" wait_for 10 gone "$background_pid"
check "and removes the interface" no_link A "$if_a"

check "started once more, with a log" background LOG_LEVEL=verbose
check "which goes on after the start" wait_for 10 grep -q "info device.started interface=$if_a" "$work/background.out"
background_pid=$(pgrep -xf "qanat-wg $if_a")
kill -KILL "$background_pid"
wait_for 10 gone "$background_pid"
check "after kill -9 a socket is left" test -S "$(sock "$if_a")"
check "which the next one replaces" background
background_pid=$(pgrep -xf "qanat-wg $if_a")
pids+=("$background_pid")
check "and wg reaches that" ns A wg show "$if_a"
kill -INT "$background_pid"
check "SIGINT ends it" wait_for 10 gone "$background_pid"
check "without a trace" bash -c "! test -e '$(sock "$if_a")'"

# ---- errors of the command itself ----

refuses() { # NAME PATTERN COMMAND...
	local name=$1 pattern=$2 said
	shift 2
	if said=$(ns A "$@" 2>&1 </dev/null); then not_ok "$name" "it succeeded: $said"; else check_has "$name" "$said" "$pattern"; fi
}
refuses "no name" 'no interface name' qanat-wg
refuses "a name too long" '"a1234567890123456789": 1 to 15' qanat-wg a1234567890123456789
refuses "a name with a slash" '"a/b"' qanat-wg a/b
refuses "an unknown option" '--formground: did you mean --foreground' qanat-wg --formground x
ip -n "q${id}A" link add name "$if_a" type veth peer name "$if_b"
refuses "a name in use by another interface" "$if_a" qanat-wg "$if_a"
check "its socket is not left" test ! -e "$(sock "$if_a")"
ip -n "q${id}A" link del "$if_a"
refuses "a descriptor that is no TUN" '5|interface' env WG_TUN_FD=5 bash -c "exec 5</dev/null; qanat-wg -f $if_a"
refuses "a descriptor that is no socket" '5.*(socket|listening)' env WG_UAPI_FD=5 bash -c "exec 5</dev/null; qanat-wg -f $if_a"
check "nothing is left of it" no_link A "$if_a"
check_has "--help" "$(qanat-wg --help)" '-f, --foreground'
check_has "--version" "$(qanat-wg --version)" '^qanat-wg [0-9]+\.[0-9]+'

# ---- descriptors handed over ----

for what in tun socket both; do
	ns_spawn A handover.log python3 "$here/handover.py" "$if_a" $what qanat-wg -f "$if_a"
	daemon=$spawned
	check "handed over: $what" wait_for 20 ns A wg set "$if_a" private-key "$work/key_a" listen-port 51820 \
		peer "$pub_b" endpoint 192.0.2.2:51820 allowed-ips 10.9.0.2/32
	daemon_start wireguard-go B "$if_b" && daemon_b=$daemon
	ns B wg set "$if_b" private-key "$work/key_b" listen-port 51820 peer "$pub_a" allowed-ips 10.9.0.1/32
	addr_add A "$if_a" 10.9.0.1/24
	addr_add B "$if_b" 10.9.0.2/24
	ip -n "q${id}A" link set "$if_a" mtu 1420 up && ip -n "q${id}B" link set "$if_b" up
	check "handed over: $what: ping" ns A ping -c 3 -i 0.2 -W 5 10.9.0.2
	check_eq "handed over: $what: 20 MB" "$want" "$(down 10.9.0.2)"
	stop "$daemon_b"
	daemon=$(pgrep -xf "qanat-wg -f $if_a")
	check "handed over: $what: ends well" daemon_stop "$daemon" "$if_a"
done

# ---- an interface that moves to another namespace ----

check "qanat-wg starts for the move" daemon_start qanat-wg A "$if_a"
daemon_a=$daemon
check "wireguard-go starts at the other end" daemon_start wireguard-go B "$if_b"
daemon_b=$daemon
ns A wg set "$if_a" private-key "$work/key_a" listen-port 51820 peer "$pub_b" endpoint 192.0.2.2:51820 allowed-ips 10.9.0.2/32
ns B wg set "$if_b" private-key "$work/key_b" listen-port 51820 peer "$pub_a" allowed-ips 10.9.0.1/32
addr_add B "$if_b" 10.9.0.2/24 && ip -n "q${id}B" link set "$if_b" up
check "the interface moves to another namespace" ip -n "q${id}A" link set "$if_a" netns "q${id}C"
addr_add C "$if_a" 10.9.0.1/24 && ip -n "q${id}C" link set "$if_a" up
check "ping from there, through the sockets left behind" ns C ping -c 3 -i 0.2 -W 5 10.9.0.2
check "wg shows it there" ns C wg show "$if_a" peers
check "the daemon lives" kill -0 "$daemon_a"
check "deleting it there" ip -n "q${id}C" link del "$if_a"
check "ends the daemon" wait_for 10 gone "$daemon_a"
stop "$daemon_b"

# ---- several side by side ----

many=()
for i in 1 2 3 4; do
	check "interface $i of several" daemon_start qanat-wg A "q$i$id"
	many+=("$daemon")
	ns A wg set "q$i$id" listen-port $((41000 + i)) private-key "$work/key_a" peer "$pub_x" allowed-ips "10.$i.0.0/16"
done
for i in 1 2 3 4; do
	check_eq "interface $i kept its own" "$((41000 + i)) 10.$i.0.0/16" \
		"$(ns A wg show "q$i$id" listen-port) $(ns A wg show "q$i$id" allowed-ips | cut -f2)"
done
for i in 1 2 3 4; do check "interface $i ends" daemon_stop "${many[i - 1]}" "q$i$id"; done

# ---- wg-quick ----

if ip -n "q${id}C" link add "q9$id" type wireguard 2>/dev/null; then
	ip -n "q${id}C" link del "q9$id"
	skip "wg-quick" "this kernel has WireGuard, and wg-quick would take that"
else
	check "wireguard-go starts for wg-quick" daemon_start wireguard-go B "$if_b"
	daemon_b=$daemon
	ns B wg set "$if_b" private-key "$work/key_b" listen-port 51820 peer "$pub_a" allowed-ips 10.9.0.1/32,fd00:9::1/128
	addr_add B "$if_b" 10.9.0.2/24 fd00:9::2/64
	ip -n "q${id}B" link set "$if_b" up
	quick() { ns A env WG_QUICK_USERSPACE_IMPLEMENTATION=qanat-wg wg-quick "$1" "$work/$if_a.conf"; }
	for routes in "10.9.0.0/24, fd00:9::/64" "0.0.0.0/0, ::/0"; do
		if [ "$routes" != "${routes#0.0}" ] && ! type -P nft >/dev/null && ! type -P iptables-restore >/dev/null; then
			skip "wg-quick for $routes" "no nft and no iptables"
			continue
		fi
		cat >"$work/$if_a.conf" <<-CONF
			[Interface]
			PrivateKey = $key_a
			Address = 10.9.0.1/24, fd00:9::1/64
			[Peer]
			PublicKey = $pub_b
			Endpoint = 192.0.2.2:51820
			AllowedIPs = $routes
			PersistentKeepalive = 25
		CONF
		chmod 600 "$work/$if_a.conf"
		check "wg-quick up for $routes" quick up
		background_pid=$(pgrep -xf "qanat-wg $if_a")
		pids+=("$background_pid")
		check "ping, IPv4" ns A ping -c 3 -i 0.2 -W 5 10.9.0.2
		check "ping, IPv6" ns A ping -6 -c 3 -i 0.2 -W 5 fd00:9::2
		check_eq "20 MB through wg-quick's tunnel" "$want" "$(down 10.9.0.2)"
		check "wg-quick save" quick save
		check "what was saved has the peer" grep -qxF "PublicKey = $pub_b" "$work/$if_a.conf"
		check "wg-quick down" quick down
		check "its daemon ended" wait_for 10 gone "$background_pid"
		check "its socket is gone" test ! -e "$(sock "$if_a")"
	done
	stop "$daemon_b"
fi

wait "$silent"
check_eq "the silent client was dropped" "b''" "$(cat "$work/silent.out")"
check "and nothing of its request applied but what was whole" test "$(ns C wg show "q8$id" fwmark)" = 0x7
check "its daemon ends" daemon_stop "$silent_daemon" "q8$id"
