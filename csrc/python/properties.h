/* properties.h - the properties of Module, which describe its packed weights. */
#ifndef QRNN_PROPERTIES_H
#define QRNN_PROPERTIES_H

#include "numpy_api.h"

extern PyGetSetDef module_properties[];

#endif
