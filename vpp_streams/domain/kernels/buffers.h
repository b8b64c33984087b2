/* Arguments: the buffers of numpy arrays and bytes, and numbers. */

#define MOST 64

typedef struct {
    Py_buffer of[MOST];
    int held;
} Held;

static void give_back(Held *held)
{
    while (held->held) PyBuffer_Release(&held->of[--held->held]);
}

/* Memory of `count` items of `size` bytes at least; NULL with an exception where it is not. */
static void *items(Held *held, PyObject *array, Py_ssize_t count, Py_ssize_t size, int writable)
{
    if (held->held == MOST) {
        PyErr_SetString(PyExc_SystemError, "too many buffers");
        return NULL;
    }
    Py_buffer *view = &held->of[held->held];
    if (PyObject_GetBuffer(array, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) return NULL;
    held->held++;
    if (view->itemsize != size && view->itemsize != 1) { /* bytes may hold anything */
        PyErr_Format(PyExc_TypeError, "items of %zd bytes instead of %zd", view->itemsize, size);
        return NULL;
    }
    if (count < 0 || view->len / size < count) {
        PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes is shorter than %zd times %zd",
                     view->len, count, size);
        return NULL;
    }
    return view->buf;
}

/* The number of items of `size` bytes that the last buffer has. */
static Py_ssize_t length(const Held *held, Py_ssize_t size)
{
    return held->of[held->held - 1].len / size;
}

static int whole(PyObject *number, int64_t *into)
{
    *into = PyLong_AsLongLong(number);
    return !(*into == -1 && PyErr_Occurred());
}

static int wants(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given == wanted) return 1;
    PyErr_Format(PyExc_TypeError, "%zd arguments instead of %zd", given, wanted);
    return 0;
}

static PyObject *outside(const char *what, int64_t row)
{
    PyErr_Format(PyExc_IndexError, "%s %lld is outside its columns", what, (long long)row);
    return NULL;
}
