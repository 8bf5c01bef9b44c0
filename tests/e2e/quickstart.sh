#!/bin/bash
# quickstart.sh - the README's first command, as a new user runs it: a clean clone, one command, a QR code.
#
#    gateway host G ---------------- "internet" host I
#   198.51.100.1/24                  198.51.100.2/24
#
# The build happens outside the namespaces (a fresh machine may still have to install packages), the run inside.
. "$(dirname "$0")/lib.sh"
need git wg script nsenter wireguard-go ps pgrep meson setpriv
ns_add G && ns_add I && link_add G up0 I eth0 || exit 1
addr_add G up0 198.51.100.1/24
addr_add I eth0 198.51.100.2/24
ip -n "q${id}G" route add default via 198.51.100.2

clone=$work/clone state=$work/state
check "a clean clone" git clone -q "$top" "$clone"
check "quickstart --build-only" "$clone/quickstart" --build-only
check "the programs stand beside each other" test -x "$clone/build/src/qanat" -a -x "$clone/build/src/qanat-gateway" -a -x "$clone/build/src/qanat-wg"
begin=$(date +%s%N)
check "quickstart --build-only again" "$clone/quickstart" --build-only
echo "# a build with nothing to do: $((($(date +%s%N) - begin) / 1000000)) ms"

# ---- a build/ that is somebody's own ----
# The commands are those of before again, so that nothing is compiled a second time.
check "a build for debugging" meson configure "$clone/build" --buildtype=debug -Db_sanitize=address
check "quickstart makes it a release again" "$clone/quickstart" --build-only
tr '{' '\n' <"$clone/build/meson-info/intro-buildoptions.json" >"$work/options"
check "it is one" grep -q '"buildtype", "value": "release"' "$work/options"
check "without sanitizers" grep -q '"b_sanitize", "value": "none"' "$work/options"
chmod 755 "$work" "$clone" "$clone/build"
said=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$clone/quickstart" --build-only 2>&1)
check_has "a build/ of another user is named" "$said" "^quickstart: $clone/build belongs to root and cannot be written"
check_eq "in one line, too" 1 "$(wc -l <<<"$said")"

dev=qs$id
run() { # LOG: in the foreground of a terminal, as a person would; the pid is in $spawned
	ns_spawn G "$1" script -qefc "$clone/quickstart --state $state --socket $work/s.sock --interface $dev" /dev/null
}
serving() { pgrep -f -- "^$clone/build/src/qanat serve.*$work/s.sock"; }
interrupt() { # as Ctrl-C does: to the whole foreground group of that terminal
	kill -INT -- "-$(ps -o tpgid= -p "$(serving | head -n 1)" | tr -d ' ')"
	wait_for 20 gone "$spawned"
}
state_of() {
	ip -n "q${id}G" addr; ip -n "q${id}G" route show table all; ip -n "q${id}G" rule; ns G nft list ruleset
	ns G cat /proc/sys/net/ipv4/ip_forward
}
snapshot() { state_of | sed -E 's/ (valid_lft|preferred_lft|expires) [^ ]+//g; s/qlen [0-9]+//; /fe80::/d; s/ tentative//' | sort; }
snapshot >"$work/before"

run first.log
check "it becomes ready" wait_for 60 grep -q 'ready in [0-9]' "$work/first.log"
echo "# $(grep -o 'ready in [0-9.]* s' "$work/first.log")"
check_has "it prints the endpoint" "$(cat "$work/first.log")" '198\.51\.100\.1:51820'
check_has "it draws the client's QR code" "$(cat "$work/first.log")" '▀|▄|█'
clients=$(qanat --socket "$work/s.sock" --json core list_clients | jq -r '.data.clients[].name')
check_eq "a first client exists" phone "$clients"
key=$(qanat --socket "$work/s.sock" --json core export_client client_name=phone | jq -r .data.client.public_key)
check "wg show sees it" sh -c "ip netns exec q${id}G wg show $dev peers | grep -qF '$key'"
check "Ctrl-C ends it" interrupt
snapshot >"$work/after"
check "and leaves nothing behind" diff "$work/before" "$work/after"
check_eq "the state directory is private" 700 "$(stat -c %a "$state")"

run second.log
check "started again it becomes ready" wait_for 60 grep -q 'ready in [0-9]' "$work/second.log"
echo "# $(grep -o 'ready in [0-9.]* s' "$work/second.log")"
check_eq "and finds its client" "$key" "$(qanat --socket "$work/s.sock" --json core export_client client_name=phone | jq -r .data.client.public_key)"
check_eq "and made no second one" 1 "$(qanat --socket "$work/s.sock" --json core list_clients | jq .data.total)"
check "Ctrl-C ends it again" interrupt

# ---- a crash, and Ctrl-C before the gateway has started again ----
# Without a terminal: script(1) stops itself with what it runs.
ns_spawn G third.log "$clone/quickstart" --state "$state" --socket "$work/s.sock" --interface "$dev"
check "for a crash it becomes ready" wait_for 60 grep -q 'ready in [0-9]' "$work/third.log"
check "and has a socket, a journal and a table" test -S "$work/s.sock" -a -S "/var/run/wireguard/$dev.sock" -a -s "$state/net.journal" -a -n "$(ns G nft list table inet "qanat_$dev")"
# A pause would be over too soon: it is told to stop first, and sees the crash and the stop together.
supervisor=$(serving | head -n 1) gateway=$(pgrep -P "$supervisor" -x qanat-gateway)
kill -STOP "$supervisor"
kill -KILL "$gateway"
wait_for 5 sh -c "grep -q '^State:.*Z' /proc/$gateway/status"
kill -INT "$supervisor"
kill -CONT "$supervisor"
check "Ctrl-C after a crash ends it" wait_for 20 gone "$spawned"
check_has "and it is said" "$(cat "$work/third.log")" "putting the host's network back"
snapshot >"$work/after"
check "nothing is left of a crashed gateway" diff "$work/before" "$work/after"
check "no journal, no socket" test ! -e "$state/net.journal" -a ! -e "$work/s.sock" -a ! -e "/var/run/wireguard/$dev.sock"

# ---- what is missing is said in one sentence ----
chmod 755 "$work"
said=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$clone/quickstart" --state "$state" 2>&1)
check_has "without rights it says so" "$said" 'root|sudo'
check_eq "in one line" 1 "$(wc -l <<<"$said")"
said=$(unshare -m sh -c "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && chmod 666 /dev/null && ln -s /proc/self/fd /dev/fd && $clone/quickstart --state $state" 2>&1)
check_has "without TUN it says so" "$said" '/dev/net/tun'
check_eq "in one line as well" 1 "$(wc -l <<<"$said")"
