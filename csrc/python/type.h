/* type.h - the Module type. */
#ifndef QRNN_TYPE_H
#define QRNN_TYPE_H

#include "module_state.h"

/* Makes the type for `module` and stores it in `state`. */
int type_init(PyObject *module, struct module_state *state);

#endif
