#include "cli/qr.h"

#include <errno.h>
#include <qrencode.h>

/* Entries 16 and 231 of the 256-colour palette are black and white in every theme. */
#define QR_INK "\033[38;5;16;48;5;231m"
#define QR_RESET "\033[0m"

enum err_code qr_make(struct qr *out, struct str text, struct err *e)
{
	enum err_code rc = ERR_OK;
	QRcode *code;
	size_t n = 0;

	if (text.n == 0 || text.n > QR_BYTES_MAX)
		return err_set(e, ERR_RANGE,
			       "a QR code holds 1 to %d bytes and the configuration has %zu: "
			       "write it to a file with --out FILE",
			       QR_BYTES_MAX, text.n);
	code = QRcode_encodeData((int)text.n, (const unsigned char *)text.p, 0, QR_ECLEVEL_L);
	if (!code)
		return errno == ENOMEM
			       ? err_set(e, ERR_NOMEM, "no memory to draw a QR code")
			       : err_set(e, ERR_RANGE, "%zu bytes do not fit a QR code", text.n);
	BUG_ON(code->width <= 0);
	n = (size_t)code->width * (size_t)code->width;
	uint8_t *dark = malloc(n);
	if (dark) {
		for (size_t i = 0; i < n; i++)
			dark[i] = code->data[i] & 1; /* bit 0: the module is dark */
		*out = (struct qr){ .width = (size_t)code->width, .dark = dark };
	} else {
		rc = err_set(e, ERR_NOMEM, "no memory to draw a QR code");
	}
	wipe(code->data, n);
	QRcode_free(code);
	return rc;
}

void qr_done(struct qr *q)
{
	if (q->dark)
		wipe(q->dark, q->width * q->width);
	free(q->dark);
	*q = (struct qr){ 0 };
}

size_t qr_columns(const struct qr *q)
{
	return q->width + 2 * (size_t)QR_QUIET;
}

/* x and y count from the corner of the quiet zone. */
static bool module_dark(const struct qr *q, size_t x, size_t y)
{
	if (x < QR_QUIET || y < QR_QUIET || x >= q->width + QR_QUIET || y >= q->width + QR_QUIET)
		return false;
	return q->dark[(y - QR_QUIET) * q->width + x - QR_QUIET];
}

void qr_draw(struct buf *out, const struct qr *q, bool colour)
{
	static const char *const half[2][2] = { { " ", "▄" }, { "▀", "█" } };
	size_t side = qr_columns(q);

	for (size_t y = 0; y < side; y += 2) {
		if (colour)
			buf_z(out, QR_INK);
		for (size_t x = 0; x < side; x++) {
			/* Ink is what the foreground paints: dark modules in black with colours,
			 * light ones in the terminal's light foreground without. */
			bool top = module_dark(q, x, y) == colour;
			bool bottom = module_dark(q, x, y + 1) == colour;

			buf_z(out, half[top][bottom]);
		}
		buf_z(out, colour ? QR_RESET "\n" : "\n");
	}
}
