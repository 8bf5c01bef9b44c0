/* wire.h - inside packet only: where the fields stand that more than one file here writes. */
#ifndef QANAT_PACKET_WIRE_H
#define QANAT_PACKET_WIRE_H

#define IPV4_LEN 2
#define IPV4_ID 4
#define IPV4_FRAGMENT 6
#define IPV4_DF 0x4000
#define IPV4_MF 0x2000
#define IPV4_OFFSET_MASK 0x1fff
#define IPV4_TTL 8
#define IPV4_CHECKSUM 10
#define IPV6_LEN 4
#define IPV6_HOP_LIMIT 7

/* TCP (RFC 9293 3.1):
 *
 *    0    | source port | destination port |
 *    4    | sequence number |
 *    8    | acknowledgment number |
 *   12    | data offset, reserved | flags | window |
 *   16    | checksum | urgent pointer |
 */
#define TCP_HEADER_MIN 20
#define TCP_SEQ 4
#define TCP_ACK 8
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS 13
#define TCP_WINDOW 14
#define TCP_CHECKSUM 16
#define TCP_URGENT 18
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_PSH 0x08
#define TCP_FLAG_ACK 0x10
#define TCP_FLAG_URG 0x20
#define TCP_FLAG_ECE 0x40
#define TCP_FLAG_CWR 0x80

/* UDP (RFC 768): | source port | destination port | length | checksum | */
#define UDP_HEADER_LEN 8
#define UDP_LEN 4
#define UDP_CHECKSUM 6

#endif
