/* functions.h - the functions of the extension, besides Module. */
#ifndef QRNN_FUNCTIONS_H
#define QRNN_FUNCTIONS_H

#include "numpy_api.h"

extern PyMethodDef table_functions[]; /* the tables of the core */
extern PyMethodDef check_functions[]; /* checks without a call or packing */
extern PyMethodDef probe_functions[]; /* what a call computes on the way to its result */
extern PyMethodDef extra_functions[]; /* element-wise functions, threads */

#endif
