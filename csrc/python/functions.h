/* functions.h - what the extension offers besides Module. */
#ifndef QRNN_FUNCTIONS_H
#define QRNN_FUNCTIONS_H

#include "numpy_api.h"

extern PyMethodDef table_functions[]; /* what the core has */
extern PyMethodDef check_functions[]; /* what a call or a packing would raise */
extern PyMethodDef probe_functions[]; /* what a call computes on its way */
extern PyMethodDef extra_functions[]; /* element-wise functions, threads */

#endif
