/* properties.h - what a Module says of what is packed in it. */
#ifndef QRNN_PROPERTIES_H
#define QRNN_PROPERTIES_H

#include "numpy_api.h"

extern PyGetSetDef module_properties[];

#endif
