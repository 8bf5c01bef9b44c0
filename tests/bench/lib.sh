# lib.sh - what tests/bench/run measures with: the build, the program to compare with, two hosts with a tunnel between
# them, processor time, and figures.  Sourced by bash; the caller sets `top`, `build`, `work` and `values`.
#
#     host A                                host B
#     wg0 10.78.0.1/24  ==================  wg0 10.78.0.2/24      the program under test, one process an end
#     eth0 10.77.0.1/24 ------ veth ------  eth0 10.77.0.2/24
#
# Everything is made in namespaces whose names carry the pid; `down` ends what was started, by pid, and deletes them.

id=$$ pids=()

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# ---- what is measured ----

# build_ours TARGET...: a release, and the tools.
build_ours() {
	if [ ! -f "$build/build.ninja" ]; then
		meson setup "$build" "$top" -Dbuildtype=release -Dtests=false >"$work/build.log" 2>&1 ||
			fail "no build in $build: $(tail -n 3 "$work/build.log")"
	fi
	ninja -C "$build" "$@" >"$work/build.log" 2>&1 ||
		fail "the build in $build fails: $(grep -E -m 3 'error|FAILED|unknown' "$work/build.log")"
}

# other_find: sets `other` to a wireguard-go and `other_is` to its version; empty where there is none.  Debian's backports
# have a newer one than Debian 12 itself: it is unpacked into the build directory, with lists of its own, so that nothing
# is installed; without a network the installed one is measured.
other_find() {
	local dir=$build/wireguard-go suite deb
	if [ -z "$other" ]; then
		suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports
		backports_fetch "$dir" "$suite"
		deb=$(ls "$dir"/wireguard-go_*.deb 2>/dev/null | sort -V | tail -n 1)
		if [ -n "$deb" ] && [ -x "$dir/x/usr/bin/wireguard-go" ]; then
			other=$dir/x/usr/bin/wireguard-go
			other_is="wireguard-go $(dpkg-deb -f "$deb" Version), $suite"
			return
		fi
		other=$(type -P wireguard-go) || { other_is="none: not installed, and not fetched from $suite"; return; }
		other_is="wireguard-go $(dpkg-query -W -f '${Version}' wireguard-go 2>/dev/null), installed; none could be fetched from $suite"
	else
		type -P "$other" >/dev/null || fail "no program $other"
		other=$(type -P "$other")
		other_is="$other: $("$other" --version 2>/dev/null | head -n 1)"
	fi
}
backports_fetch() { # backports_fetch DIRECTORY SUITE
	local apt key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -x "$1/x/usr/bin/wireguard-go" ] && [ -r "$key" ] && type -P apt-get dpkg-deb >/dev/null || return
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/x" || return
	printf '%s\n' "Types: deb" "URIs: http://deb.debian.org/debian" "Suites: $2" "Components: main" \
		"Signed-By: $key" >"$1/backports.sources"
	apt=(-q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::Etc::SourceList=$1/backports.sources" -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1/cache"
		-o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=10)
	(cd "$1" && timeout 90 apt-get "${apt[@]}" update && timeout 60 apt-get "${apt[@]}" download wireguard-go &&
		dpkg-deb -x wireguard-go_*.deb x) >"$1/log" 2>&1 </dev/null
}

machine() {
	local cpu ours cc
	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	cc=$(sed -n 's/^C compiler for the host machine: [^ ]* (\([^"]*\) ".*/\1/p' "$build/meson-logs/meson-log.txt" 2>/dev/null | head -n 1)
	ours=$("$build/src/qanat-wg" --version)
	echo "machine: $(nproc) x $cpu, $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)," \
		"$(systemd-detect-virt --vm 2>/dev/null | sed 's/^none$/no virtual machine/;t;s/$/ guest/')"
	echo "system:  Linux $(uname -r), $(. /etc/os-release && echo "$PRETTY_NAME")"
	echo "ours:    $ours, commit $(git -C "$top" describe --always --dirty 2>/dev/null || echo unknown)," \
		"${cc:-compiler unknown}, $(openssl version 2>/dev/null | cut -d' ' -f1-2)"
	echo "other:   $other_is"
	echo "when:    $(date -u +%Y-%m-%dT%H:%MZ), load $(cut -d' ' -f1-3 /proc/loadavg)"
}

# ---- two hosts ----

down() {
	local p
	for p in "${pids[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done
	for p in "${pids[@]:-}"; do [ -n "$p" ] && wait "$p" 2>/dev/null; done
	pids=()
	ip netns del "qb${id}A" 2>/dev/null
	ip netns del "qb${id}B" 2>/dev/null
	return 0
}

# spawn HOST LOG COMMAND...: in the background on a host; the pid, in $spawned, is the command's own.
spawn() {
	local n=$1 log=$2
	shift 2
	nsenter --net="/run/netns/qb$id$n" "$@" >>"$work/$log" 2>&1 </dev/null &
	spawned=$!
	pids+=("$spawned")
}
# join PID: waits for what was spawned; its status.
join() {
	local p rest=() rc
	wait "$1"
	rc=$?
	for p in "${pids[@]}"; do [ "$p" = "$1" ] || rest+=("$p"); done
	pids=("${rest[@]}")
	return $rc
}
on() { local n=$1; shift; nsenter --net="/run/netns/qb$id$n" "$@"; }
wait_until() { # wait_until COMMAND...: at most 10 s
	local try
	for ((try = 0; try < 100; try++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}

end_up() { # end_up HOST INTERFACE OWN PEER COMMAND...: one end; OWN and PEER are 1 or 2
	local n=$1 i=$2 own=$3 peer=$4
	shift 4
	spawn "$n" log env WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error "$@" -f "$i"
	wait_until test -S "/var/run/wireguard/$i.sock" || return 1
	on "$n" wg set "$i" private-key "$work/$own.key" listen-port "510$own" \
		peer "$(cat "$work/$peer.pub")" endpoint "10.77.0.$peer:510$peer" allowed-ips "10.78.0.$peer/32" || return 1
	ip -n "qb$id$n" addr add "10.78.0.$own/24" dev "$i" && ip -n "qb$id$n" link set "$i" mtu 1420 up
}

# up COMMAND...: both ends of the program, each with a session; their pids are in $daemon_a and $daemon_b.
up() {
	local k
	down
	: >"$work/log"
	ip netns add "qb${id}A" && ip netns add "qb${id}B" || return 1
	ip link add eth0 netns "qb${id}A" type veth peer name eth0 netns "qb${id}B" || return 1
	for k in 1 2; do
		wg genkey >"$work/$k.key"
		wg pubkey <"$work/$k.key" >"$work/$k.pub"
	done
	for k in A:1 B:2; do
		ip -n "qb$id${k%:*}" link set lo up
		ip -n "qb$id${k%:*}" addr add "10.77.0.${k#*:}/24" dev eth0 && ip -n "qb$id${k%:*}" link set eth0 up || return 1
	done
	end_up A "qb${id}a" 1 2 "$@" && daemon_a=$spawned && end_up B "qb${id}b" 2 1 "$@" && daemon_b=$spawned || return 1
	on A ping -q -c 1 -W 10 10.78.0.2 >>"$work/log" 2>&1
}

# cpu_ms PID: processor time of a process so far, user and system.
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); print ($12 + $13) * 1000 / hz }' "/proc/$1/stat"; }
# through BYTES of the tunnel's interface, of the host of process PID: through PID rx|tx
through() { awk -v d="$2" '/^ *qb/ { sub(/^.*:/, ""); print d == "rx" ? $1 : $9 }' "/proc/$1/net/dev"; }
now_ms() { date +%s%3N; }
# Percent of all processors that others kept busy or stole for a quarter of a second; nothing of ours runs meanwhile.
others_busy() {
	local a b
	a=$(head -n 1 /proc/stat)
	sleep 0.25
	b=$(head -n 1 /proc/stat)
	awk -v a="$a" -v b="$b" 'BEGIN { n = split(a, x); split(b, y); for (i = 2; i <= 9 && i <= n; i++) { d = y[i] - x[i]
		all += d; if (i == 5 || i == 6) idle += d } printf "%d\n", all ? 100 * (all - idle) / all : 0 }'
}

# ---- figures ----
# Each figure has a key, a unit and a name; its values lie in $values/KEY.PROGRAM, a line a round.

figures=()
figure() { # figure KEY UNIT NAME: once for each key, in the order of the table
	local f
	for f in "${figures[@]:-}"; do [ "${f%%|*}" = "$1" ] && return; done
	figures+=("$1|$2|$3")
}
value() { # value KEY PROGRAM NUMBER
	echo "$3" >>"$values/$1.$2"
}
calc() { awk "BEGIN { printf \"%.${2:-2f}\", $1 }"; } # calc EXPRESSION [FORMAT]
# Median, lowest and highest of a file of numbers.
spread() {
	sort -g "$1" | awk '{ v[NR] = $1 } END { if (NR) { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
		printf "%.6g %.6g %.6g\n", m, v[1], v[NR] } }'
}
cell() { # cell MEDIAN LOWEST HIGHEST: for the table
	[ -n "$1" ] && printf '%s (%s..%s)' "$1" "$2" "$3" || printf -- '-'
}
# The table.  "ratio" is ours over other, whichever is better.
table() {
	local f key unit name om ol oh gm gl gh
	printf '\n%-38s %-9s %30s %30s %7s\n' "median (lowest..highest)" unit ours other ratio
	for f in "${figures[@]:-}"; do
		[ -n "$f" ] || continue
		IFS='|' read -r key unit name <<<"$f"
		om='' gm=''
		[ -s "$values/$key.ours" ] && read -r om ol oh < <(spread "$values/$key.ours")
		[ -s "$values/$key.other" ] && read -r gm gl gh < <(spread "$values/$key.other")
		printf '%-38s %-9s %30s %30s %7s\n' "$name" "$unit" "$(cell "$om" "$ol" "$oh")" "$(cell "$gm" "$gl" "$gh")" \
			"$([ -n "$om" ] && [ -n "$gm" ] && awk -v a="$om" -v b="$gm" 'BEGIN { if (b) printf "%.2f", a / b; else print "-" }')"
	done
}
