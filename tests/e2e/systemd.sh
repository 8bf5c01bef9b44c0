#!/bin/bash
# systemd.sh - the service as it is installed, under a systemd of its own.
#
#    client host C                  host G: namespaces of every kind, in which systemd is process 1
#    192.0.2.2/24  ---------------  192.0.2.1/24
#    10.8.0.2      ===============  10.8.0.1        qanat-gateway.service
#
# G's root is this machine's, read-only, with new directories where a host keeps what changes.  Nothing of the machine is
# touched, and systemd need not be its process 1; where namespaces or control groups cannot be had, all is skipped.
. "$(dirname "$0")/lib.sh"
need systemctl journalctl nsenter unshare wg ip ping nft jq setpriv
systemd=/usr/lib/systemd/systemd
unit=$QANAT_BIN/../packaging/qanat-gateway.service
[ -x $systemd ] || { skip systemd.sh "no $systemd"; exit 0; }
[ -f "$unit" ] || { skip systemd.sh "the build beside $QANAT_BIN has no unit"; exit 0; }
id -u qanat >/dev/null 2>&1 || { skip systemd.sh "there is no user qanat"; exit 0; }
if_g=wg_main root=$work/root cgroup=qanat-$id

for n in C G; do ns_add $n || exit 1; done
link_add C eth0 G up0 || exit 1
addr_add C eth0 192.0.2.2/24
addr_add G up0 192.0.2.1/24
ip -n "q${id}G" route add default via 192.0.2.2

# ---- a host with systemd ----

mkdir -p "$root" "$work/prefix/sbin" "$work/prefix/bin" "$work/units" "$work/cg"
cp "$QANAT_BIN/qanat-gateway" "$work/prefix/sbin/" && cp "$QANAT_BIN/qanat" "$work/prefix/bin/"
sed -E 's,^ExecStart=[^ ]*,ExecStart=/usr/local/sbin/qanat-gateway,' "$unit" >"$work/units/qanat-gateway.service"
# The journal, and nothing of what this machine starts; basic.target comes with whom we start.
printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' >"$work/units/bare.target"
cat >"$work/boot" <<'END_BOOT'
set -e
work=$1 root=$2
mount --make-rprivate /
mount --bind / "$root" # without what is mounted below
for d in run tmp srv var/lib var/log var/tmp; do mount -t tmpfs tmpfs "$root/$d"; done
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for d in null zero full random urandom tty; do mknod -m 666 "$root/dev/$d" c $(stat -c '0x%t 0x%T' /dev/$d); done
mkdir "$root/dev/net" "$root/dev/shm" && mknod -m 666 "$root/dev/net/tun" c 10 200
mount -t tmpfs tmpfs "$root/dev/shm"
for d in bin sbin; do mount --bind "$work/prefix/$d" "$root/usr/local/$d"; done
mount --bind "$work/units" "$root/etc/systemd/system"
for d in "$root"/usr/lib/systemd/system/{sysinit,sockets}.target.wants; do mount -t tmpfs tmpfs "$d"; done
mount -o remount,bind,ro "$root"
# Of the kernel's settings those of the network alone, which are this namespace's.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mkdir "$work/proc"
mount -t proc proc "$work/proc"
mount --bind "$work/proc/sys/net" "$root/proc/sys/net"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=qanat-test PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio,-syslog \
	/usr/lib/systemd/systemd --system --log-target=journal --unit=bare.target
END_BOOT
# A control group of its own, as the root of what systemd sees.
cgroup_make() {
	unshare -m sh -c 'mount -t cgroup2 cgroup2 "$1" && mkdir "$1/$2"' sh "$work/cg" "$cgroup"
}
boot() {
	exec nsenter --net="/run/netns/q${id}G" unshare --mount sh -c 'mount -t cgroup2 cgroup2 "$1/cg" && echo $$ >"$1/cg/$2/cgroup.procs" && shift 2 &&
		exec unshare --cgroup --pid --fork --kill-child --uts --ipc bash "$@"' sh "$work" "$cgroup" "$work/boot" "$work" "$root"
}
in_g() { nsenter -t "$init" -m -u -i -n -p -C -r -w env -i LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
init_find() { init=$(pgrep -P "$booted" -x systemd) && [ -n "$init" ] && in_g systemctl is-system-running | grep -qE 'running|degraded'; }
cgroup_remove() { # waits for its processes to have gone
	unshare -m sh -c 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +' sh "$work/cg" "$cgroup"
}
if ! cgroup_make >"$work/cgroup.out" 2>&1; then
	skip systemd.sh "no control group: $(head -c 200 "$work/cgroup.out")"
	exit 0
fi
trap 'stop "${booted:-}" KILL 2>/dev/null; wait_for 5 cgroup_remove; finish' EXIT
spawn boot.log boot
booted=$spawned
if ! wait_for 30 init_find; then
	skip systemd.sh "no systemd in namespaces of its own: $(head -c 300 "$work/boot.log")"
	exit 0
fi

ctl() { in_g systemctl "$@"; }
prop() { ctl show -P "$1" qanat-gateway; }
q() { in_g qanat --json "$@"; }
journal() { in_g journalctl --no-pager -o cat -u qanat-gateway; }
status() { in_g awk -v k="$2:" '$1 == k { print $2 }' "/proc/$1/status"; } # of a process as G numbers them
child() { in_g pgrep -P "$(prop MainPID)" -f -- "--as-$1"; }
active() { [ "$(prop ActiveState)" = active ] && [ "$(prop SubState)" = running ] && q core server_status >/dev/null; }
restarts() { [ "$(prop NRestarts)" = "$1" ] && active; }
reaches() { ns C ping -c 1 -W 1 10.8.0.1; }
drop_in() { # drop_in NAME LINE...: "" takes all of them away
	local name=$1
	shift
	rm -rf "$work/units/qanat-gateway.service.d"
	[ -z "$name" ] || { mkdir "$work/units/qanat-gateway.service.d" && printf '%s\n' '[Service]' "$@" >"$work/units/qanat-gateway.service.d/$name.conf"; }
	ctl daemon-reload
}
snapshot() {
	{
		ip -n "q${id}G" -o addr
		ip -n "q${id}G" route show table all
		ip -n "q${id}G" -6 route show table all
		ip -n "q${id}G" rule
		ns G nft list ruleset
		ns G cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
	} | sed -E 's/ (valid_lft|preferred_lft|expires) [^ ]+//g; /fe80::/d; /ff00::/d; s/ tentative//' | sort
}
snapshot >"$work/before"

# ---- start ----

secret=$(head -c 32 /dev/urandom | base64)
drop_in api "Environment=WG_AGENT_SECRET=$secret"
check "systemd reads the unit without a word" [ -z "$(in_g systemd-analyze verify --man=no /etc/systemd/system/qanat-gateway.service 2>&1)" ]
check "systemctl start returns" timeout 60 nsenter -t "$init" -a systemctl start qanat-gateway
check_eq "and it is ready then" "active running" "$(prop ActiveState) $(prop SubState)"
check_eq "for a client of its control socket" true "$(q core server_status | jq .success)"
check_eq "and has been told to be watched" 30s "$(prop WatchdogUSec)"
main=$(prop MainPID) control=$(child control) device=$(child device)
for p in "$main" "$control" "$device"; do
	check_eq "$(in_g cat "/proc/$p/comm"): its user" qanat "$(in_g stat -c %U "/proc/$p")"
done
check_eq "the helper has one capability" 0000000000001000 "$(status "$main" CapEff)"
check_eq "control has none" 0000000000000000 "$(status "$control" CapEff)"
check_eq "the device has none" 0000000000000000 "$(status "$device" CapEff)"
check_eq "the state is the user's alone" "qanat 700" "$(in_g stat -c '%U %a' /var/lib/qanat)"
check_eq "and so is all in it" "qanat 600" "$(in_g find /var/lib/qanat -type f ! -name cert.pem -exec stat -c '%U %a' {} + | sort -u)"
check_eq "the control socket is, too" "qanat 600" "$(in_g stat -c '%U %a' /run/qanat/control.sock)"
check_has "others cannot reach it" "$(in_g setpriv --reuid nobody --regid nogroup --clear-groups qanat core server_status 2>&1)" 'ermission|denied'
check_has "the journal has its log" "$(journal)" 'gateway\.ready'
check_has "and what its processes gave up" "$(journal)" 'control\.confined .*seccomp=1'
errors() { in_g journalctl -q --no-pager -o cat -p err _COMM=qanat-control; }
check_eq "none of it is an error" "" "$(errors)"
score=$(in_g systemd-analyze security --no-pager --offline=true qanat-gateway.service | sed -nE 's/.*Overall exposure level[^:]*: ([0-9.]+) .*/\1/p')
check "its exposure is 2.5 or less ($score)" awk "BEGIN { exit !(\"$score\" != \"\" && \"$score\" + 0 <= 2.5) }"
check_eq "what the state directory has cannot be written elsewhere" "strict yes" "$(prop ProtectSystem) $(prop ProtectHome)"

# ---- work ----

check "the nft table is there" ns G nft list table inet "qanat_$if_g"
check_eq "forwarding is on" 1 "$(ns G cat /proc/sys/net/ipv4/ip_forward)"
check_eq "a client is added" true "$(q core add_client client_name=laptop | jq .success)"
q core export_client client_name=laptop | jq -r .data.config | grep -vE '^(Address|DNS|MTU) ' >"$work/laptop.conf"
dev=qC$id
ns_spawn C wgd.log qanat-wg -f "$dev"
check "the client's device is there" wait_for 10 ip -n "q${id}C" link show "$dev"
check "the client is configured" ns C wg setconf "$dev" "$work/laptop.conf"
ip -n "q${id}C" addr add 10.8.0.2/24 dev "$dev" && ip -n "q${id}C" link set "$dev" up
check "packets pass" wait_for 15 reaches
check_eq "wg sees the device" laptop "$(in_g wg show "$if_g" latest-handshakes | awk '$2 > 0 { print "laptop" }')"
check_eq "server_status" "true true enabled" "$(q core server_status | jq -r '"\(.data.service.running) \(.data.interface.active)"') $(q core get_firewall_status | jq -r .data.nat.masquerade)"
check_eq "HTTPS answers" 200 "$(ns C curl -ks -o "$work/health" -w '%{http_code}' https://192.0.2.1:8080/health)"
check_eq "the subnet is changed, with its backup" true "$(q core change_subnet new_subnet=10.9.0.0/24 confirm=true | jq .success)"
check_eq "and back" true "$(q core change_subnet new_subnet=10.8.0.0/24 confirm=true | jq .success)"
in_g install -d -m 700 /srv/old
printf '[Interface]\nPrivateKey = %s\nAddress = 10.8.0.1/24\nListenPort = 51820\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.8.0.9/32\n' \
	"$(wg genkey)" "$(wg genkey | wg pubkey)" | in_g sh -c 'umask 077 && cat >/srv/old/wg0.conf'
check_has "an import says what it may not read" "$(q core import_installation path=/srv/old/wg0.conf | jq -r .error)" 'does not run as root: make a copy'
check_has "which the journal has as an error" "$(errors)" 'import_installation'
in_g chown -R qanat /srv/old
check_has "and reads a copy of its user's" "$(q core import_installation path=/srv/old dry_run=true)" '"dry_run": true'
ns G nft flush ruleset
check "a table that somebody flushed is back" wait_for 10 ns G nft list table inet "qanat_$if_g"
ns G sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
check "and so is forwarding" wait_for 15 eval '[ "$(ns G cat /proc/sys/net/ipv4/ip_forward)" = 1 ]'
check "packets pass after that" wait_for 15 reaches
ip -n "q${id}G" link del "$if_g"
check "an interface that somebody deleted is back" wait_for 20 reaches
check_eq "in the same process" "$main 0" "$(prop MainPID) $(prop NRestarts)"

# ---- reload, restart ----

ready_times() { [ "$(journal | grep -c gateway.ready)" -ge "$1" ]; }
before=$(journal | grep -c gateway.ready)
check "systemctl reload" ctl reload qanat-gateway
check "is a restart in place" wait_for 20 ready_times $((before + 1))
check "of the same process, which systemd sees active" wait_for 10 active
check_eq "and not restarted" "$main 0" "$(prop MainPID) $(prop NRestarts)"
check "packets pass after the reload" wait_for 15 reaches
check "restart_service answers" eval '[ "$(q core restart_service | jq .data.restarted)" = true ]'
check_eq "from the same process" "$main 0" "$(prop MainPID) $(prop NRestarts)"
check "systemctl restart" ctl restart qanat-gateway
check "is another process" [ "$(prop MainPID)" != "$main" ]
check "packets pass after the restart" wait_for 30 reaches

# ---- ends ----

main=$(prop MainPID)
ctl kill --kill-whom=main -s KILL qanat-gateway
check "one that was killed is started again" wait_for 30 restarts 1
check "and its clients go on" wait_for 30 reaches
in_g kill -KILL "$(child control)"
check "so is one whose control process was" wait_for 30 restarts 2
in_g kill -KILL "$(child device)"
check "a device that was killed is control's to start" wait_for 30 reaches
check_eq "and no restart" 2 "$(prop NRestarts)"

# ---- the watchdog ----

drop_in watchdog WatchdogSec=5s
ctl restart qanat-gateway
pinged() { prop WatchdogTimestampMonotonic; }
pinged_since() { [ "$(pinged)" != "$1" ]; }
for n in first second; do check "the $n word that it lives comes" wait_for 30 pinged_since "$(pinged)"; done
restarted_since() { [ "$(prop NRestarts)" -gt "$1" ] && active; }
for who in control device main; do
	case $who in main) p=$(prop MainPID) ;; *) p=$(child $who) ;; esac
	n=$(prop NRestarts)
	in_g kill -STOP "$p"
	check "$who hangs: the service is started anew" wait_for 60 restarted_since "$n"
	check "$who hung: packets pass again" wait_for 30 reaches
	check "$who that hung is gone" eval '! in_g kill -0 "$p" 2>/dev/null'
done
check_has "the journal says that it was the watchdog" "$(in_g journalctl -q --no-pager -o cat)" 'Watchdog timeout'

# ---- wrong options, and the end ----

drop_in wrong ExecStart= 'ExecStart=/usr/local/sbin/qanat-gateway --state ${STATE_DIRECTORY} --mtu none'
ctl restart qanat-gateway >"$work/wrong" 2>&1
check_eq "a wrong option is no reason to try again" "failed 2 0" "$(prop ActiveState) $(prop ExecMainStatus) $(prop NRestarts)"
check_has "and is named in the journal" "$(journal | tail -n 5)" 'mtu.*none'
drop_in ''
ctl reset-failed qanat-gateway
check "starts with the unit as it is" ctl start qanat-gateway
check_eq "systemctl stop" 0 "$(ctl stop qanat-gateway >&2; echo $?)"
check_eq "ends in order" "inactive success 0" "$(prop ActiveState) $(prop Result) $(prop ExecMainStatus)"
snapshot >"$work/after"
check "and leaves the host as it was" diff "$work/before" "$work/after"
check_eq "no process stays" "" "$(in_g pgrep qanat)"
check_eq "no socket stays" "" "$(in_g find /run/qanat /run/wireguard -type s)"
