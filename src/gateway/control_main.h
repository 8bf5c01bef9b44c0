/* control_main.h - the control process of a gateway: its beginning, its end, its exit status. */
#ifndef QANAT_GATEWAY_CONTROL_MAIN_H
#define QANAT_GATEWAY_CONTROL_MAIN_H

/* What the program does when it was started as control: argv[0] is the text of its descriptor, and the
 * command line follows. */
int control_main(int argc, char **argv);

#endif
