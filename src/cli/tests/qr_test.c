/* The drawing, read back character by character, is the matrix that libqrencode made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <qrencode.h>

#include "cli/qr.h"

static const char config[] = "[Interface]\nPrivateKey = "
			     "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = "
			     "10.8.0.2/24\nDNS = 1.1.1.1\nMTU = 1420\n\n[Peer]\nPublicKey = "
			     "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nEndpoint = "
			     "203.0.113.1:51820\nAllowedIPs = 0.0.0.0/0, ::/0\n";

/* Takes one character off *p; the halves it paints, in *top and *bottom. */
static void glyph_take(const char **p, bool *top, bool *bottom)
{
	static const struct {
		const char *glyph;
		bool top, bottom;
	} glyphs[] = { { " ", false, false },
		       { "\xe2\x96\x80", true, false },
		       { "\xe2\x96\x84", false, true },
		       { "\xe2\x96\x88", true, true } };

	for (size_t i = 0; i < ARRAY_LEN(glyphs); i++) {
		size_t n = strlen(glyphs[i].glyph);

		if (strncmp(*p, glyphs[i].glyph, n) == 0) {
			*p += n;
			*top = glyphs[i].top;
			*bottom = glyphs[i].bottom;
			return;
		}
	}
	fail_msg("not a half block: %.8s", *p);
}

static void text_skip(const char **p, const char *text)
{
	if (strncmp(*p, text, strlen(text)) != 0)
		fail_msg("wanted an escape sequence at %.8s", *p);
	*p += strlen(text);
}

/* Whether the module at x, y of the drawing must be dark; outside the code nothing is. */
static bool wanted(const QRcode *code, size_t x, size_t y)
{
	size_t width = (size_t)code->width;

	if (x < QR_QUIET || y < QR_QUIET || x >= width + QR_QUIET || y >= width + QR_QUIET)
		return false;
	return code->data[(y - QR_QUIET) * width + x - QR_QUIET] & 1;
}

static void check_drawing(const char *text, size_t n, bool colour)
{
	QRcode *code = QRcode_encodeData((int)n, (const unsigned char *)text, 0, QR_ECLEVEL_L);
	struct qr qr = { 0 };
	struct buf out = { 0 };
	struct err e = { 0 };
	const char *p;
	size_t side;

	assert_non_null(code);
	assert_int_equal(qr_make(&qr, (struct str){ text, n }, &e), ERR_OK);
	side = qr_columns(&qr);
	assert_int_equal(side, (size_t)code->width + 4);
	qr_draw(&out, &qr, colour);
	assert_true(buf_ok(&out));
	p = out.p;
	for (size_t y = 0; y < side; y += 2) {
		if (colour)
			text_skip(&p, "\033[38;5;16;48;5;231m");
		for (size_t x = 0; x < side; x++) {
			bool top = false, bottom = false;

			glyph_take(&p, &top, &bottom);
			/* With colours the ink is black, without it is the light foreground. */
			assert_int_equal(top == colour, wanted(code, x, y));
			assert_int_equal(bottom == colour, wanted(code, x, y + 1));
		}
		if (colour)
			text_skip(&p, "\033[0m");
		text_skip(&p, "\n");
	}
	assert_int_equal(*p, 0);
	buf_done(&out);
	qr_done(&qr);
	QRcode_free(code);
}

static void test_drawing(void **state)
{
	(void)state;
	for (int colour = 0; colour < 2; colour++) {
		check_drawing("x", 1, colour);
		check_drawing(config, sizeof config - 1, colour);
	}
}

/* A code of a usual configuration fits 80 columns: that is why the quiet zone is 2. */
static void test_fits_terminal(void **state)
{
	struct qr qr = { 0 };

	(void)state;
	assert_int_equal(qr_make(&qr, str_of(config), NULL), ERR_OK);
	assert_true(qr_columns(&qr) <= 80);
	qr_done(&qr);
	qr_done(&qr);
	assert_null(qr.dark);
}

static void test_limits(void **state)
{
	char *text = malloc(QR_BYTES_MAX + 1);
	struct qr qr = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_non_null(text);
	memset(text, 'x', QR_BYTES_MAX + 1);
	assert_int_equal(qr_make(&qr, (struct str){ text, QR_BYTES_MAX }, &e), ERR_OK);
	assert_int_equal(qr.width, 177); /* version 40 */
	qr_done(&qr);
	assert_int_equal(qr_make(&qr, (struct str){ text, QR_BYTES_MAX + 1 }, &e), ERR_RANGE);
	assert_non_null(strstr(e.msg, "2954"));
	assert_non_null(strstr(e.msg, "--out"));
	assert_int_equal(qr_make(&qr, STR(""), &e), ERR_RANGE);
	assert_null(qr.dark);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawing),
		cmocka_unit_test(test_fits_terminal),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("cli/qr", tests, NULL, NULL);
}
