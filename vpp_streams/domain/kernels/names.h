/* Names to dense numbers: the table of `registry/name_index.py`, in its own layout. */

#define UNKNOWN (-1)
#define MAX_NAME_BYTES 512
#define NAME_WORDS (1 + MAX_NAME_BYTES / 8)

typedef struct {
    const uint64_t *words; /* (rows, width): each name's length, then its bytes */
    const int32_t *slots;
    const uint64_t *factors;
    int64_t rows, width, slot_count, shift;
} Names;

/* Arguments words, width, slots, shift, factors; 0 with an exception. */
static int names_of(Held *held, PyObject *const *args, Names *names)
{
    if (!(names->words = items(held, args[0], 0, 8, 0))) return 0;
    int64_t words = length(held, 8);
    if (!whole(args[1], &names->width) || !(names->slots = items(held, args[2], 1, 4, 0))) return 0;
    names->slot_count = length(held, 4);
    if (!whole(args[3], &names->shift)) return 0;
    if (!(names->factors = items(held, args[4], NAME_WORDS, 8, 0))) return 0;
    int64_t count = names->slot_count;
    if (names->width < 1 || (count & (count - 1)) || names->shift < 1 || names->shift > 64 ||
        (names->shift < 64 ? count != (int64_t)1 << (64 - names->shift) : count != 1)) {
        PyErr_SetString(PyExc_ValueError, "this is no table of names");
        return 0;
    }
    names->rows = words / names->width;
    return 1;
}

static int64_t number_of(const Names *names, const char *text, int64_t size)
{
    uint64_t words[NAME_WORDS];
    int64_t count = 1 + (size + 7) / 8;
    if (size > MAX_NAME_BYTES || count > names->width) return UNKNOWN;
    words[0] = (uint64_t)size;
    words[count - 1] = 0;
    words[0] = (uint64_t)size; /* again: of an empty name both are the same word */
    memcpy(words + 1, text, (size_t)size);
    if (size & 7) words[count - 1] &= (((uint64_t)1 << 8 * (size & 7)) - 1);
    uint64_t mixed = 0;
    for (int64_t i = 0; i < count; i++) mixed += (words[i] ^ (words[i] >> 29)) * names->factors[i];
    mixed *= 0x9E3779B97F4A7C15u;
    int64_t slot = names->shift < 64 ? (int64_t)(mixed >> names->shift) : 0;
    for (int64_t tried = 0; tried < names->slot_count; tried++) {
        int32_t number = names->slots[slot];
        if (number < 0 || number >= names->rows) return UNKNOWN;
        const uint64_t *ours = names->words + number * names->width;
        if (!memcmp(ours, words, (size_t)count * 8)) return number;
        slot = (slot + 1) & (names->slot_count - 1);
    }
    return UNKNOWN;
}

/* find_names(words, width, slots, shift, factors, offsets, data, first, numbers) */
static PyObject *find_names(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Names names;
    int64_t first, longest = 0;
    PyObject *result = NULL;
    if (!wants(given, 9) || !names_of(&held, args, &names)) goto done;
    int64_t *numbers = items(&held, args[8], 0, 8, 1);
    if (!numbers) goto done;
    int64_t n = length(&held, 8);
    if (!whole(args[7], &first)) goto done;
    if (first < 0) {
        PyErr_SetString(PyExc_ValueError, "the first name is before the buffer");
        goto done;
    }
    const int32_t *ends = items(&held, args[5], first + n + 1, 4, 0);
    if (!ends) goto done;
    const char *data = items(&held, args[6], n ? ends[first + n] : 0, 1, 0);
    if (!data) goto done;
    for (int64_t i = 0; i < n; i++) {
        int64_t start = ends[first + i], size = ends[first + i + 1] - start;
        if (size < 0 || start < 0 || start + size > ends[first + n]) {
            PyErr_SetString(PyExc_ValueError, "the names' offsets do not rise");
            goto done;
        }
        if (size > longest) longest = size;
        numbers[i] = number_of(&names, data + start, size);
    }
    if (longest > MAX_NAME_BYTES)
        PyErr_Format(PyExc_ValueError, "a name of %lld bytes; at most %d", (long long)longest,
                     MAX_NAME_BYTES);
    else
        result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}

/* gather_names(words, width, numbers, offsets) -> the bytes; UNKNOWN and others give "" */
static PyObject *gather_names(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    int64_t width;
    PyObject *result = NULL;
    if (!wants(given, 4)) goto done;
    const uint64_t *words = items(&held, args[0], 0, 8, 0);
    if (!words || !whole(args[1], &width)) goto done;
    int64_t rows = width > 0 ? length(&held, 8) / width : 0;
    const int64_t *numbers = items(&held, args[2], 0, 8, 0);
    if (!numbers) goto done;
    int64_t n = length(&held, 8), total = 0;
    int32_t *ends = items(&held, args[3], n + 1, 4, 1);
    if (!ends) goto done;
    ends[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int known = numbers[i] >= 0 && numbers[i] < rows;
        uint64_t size = known ? words[numbers[i] * width] : 0;
        if (size > (uint64_t)(width - 1) * 8) size = 0;
        total += (int64_t)size;
        if (total > INT32_MAX) {
            PyErr_SetString(PyExc_ValueError, "the names are longer than 2 GB");
            goto done;
        }
        ends[i + 1] = (int32_t)total;
    }
    if (!(result = PyBytes_FromStringAndSize(NULL, total))) goto done;
    char *to = PyBytes_AS_STRING(result);
    for (int64_t i = 0; i < n; i++) {
        size_t size = (size_t)(ends[i + 1] - ends[i]);
        if (size) memcpy(to + ends[i], words + numbers[i] * width + 1, size);
    }
done:
    give_back(&held);
    return result;
}
