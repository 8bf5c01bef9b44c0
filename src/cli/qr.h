/* qr.h - a QR code as text: libqrencode's matrix drawn with half blocks.
 *
 * Error correction level L as the reference does, two rows of modules a line of text.  The code
 * of a client's configuration holds its private key, so the matrix is wiped when released.
 */
#ifndef QANAT_CLI_QR_H
#define QANAT_CLI_QR_H

#include "base/err.h"
#include "base/text.h"

/* Light modules around the code.  ISO/IEC 18004 asks for 4; readers take 2, with which version 14
 * (73 modules, 458 bytes at level L) still fits a terminal of 80 columns. */
#define QR_QUIET 2
/* Bytes that version 40 holds at level L (ISO/IEC 18004, table 7). */
#define QR_BYTES_MAX 2953

struct qr {
	size_t width; /* modules a side, without the quiet zone */
	uint8_t *dark; /* width * width, 1 for a dark module */
};

/* Encodes `text`; ERR_RANGE when it is too long for any QR code. */
MUST_CHECK enum err_code qr_make(struct qr *out, struct str text, struct err *e);
void qr_done(struct qr *q);
/* Columns that the drawing takes. */
size_t qr_columns(const struct qr *q);
/* Draws it: with `colour` black on white, else light modules as blocks, right on dark terminals. */
void qr_draw(struct buf *out, const struct qr *q, bool colour);

#endif
