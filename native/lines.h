// The Python side of the journal's lines; module.cpp lists them.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject* scan_lines(PyObject*, PyObject* args);
PyObject* fold_lines(PyObject*, PyObject* args);
