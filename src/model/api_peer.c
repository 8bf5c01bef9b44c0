#include "model/api_peer.h"

static const char *const names[] = {
	[API_PROTOCOL_IPV4] = "ipv4",
	[API_PROTOCOL_IPV6] = "ipv6",
	[API_PROTOCOL_DUAL] = "dual",
};

const char *api_protocol_name(enum api_protocol p)
{
	return (size_t)p < ARRAY_LEN(names) ? names[p] : NULL;
}

bool api_protocol_parse(struct str s, enum api_protocol *out)
{
	for (size_t i = API_PROTOCOL_IPV4; i < ARRAY_LEN(names); i++) {
		if (str_eq(s, str_of(names[i]))) {
			*out = (enum api_protocol)i;
			return true;
		}
	}
	return false;
}

const char *api_traffic_allowed_ips(unsigned traffic)
{
	static const char *const texts[] = { "", "0.0.0.0/0", "::/0", "0.0.0.0/0,::/0" };

	return texts[traffic & (API_IPV4 | API_IPV6)];
}
