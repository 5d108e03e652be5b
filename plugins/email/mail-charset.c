#include "mail-charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "utf8-filter.h"

/* As mail says it, and as the C library does. Windows-1252 contains Latin-1's printable part, and
 * what calls itself Latin-1 is often that; GB18030 contains GB2312 and GBK; CP949 what Korean mail
 * calls its charset; CP932 what Japanese mail calls Shift_JIS. */
static const struct {
        const char *name, *system;
} charsets[] = {
        { "big5", "BIG5" },
        { "cp1252", "CP1252" },
        { "cp932", "CP932" },
        { "euc-jp", "EUC-JP" },
        { "euc-kr", "CP949" },
        { "gb18030", "GB18030" },
        { "gb2312", "GB18030" },
        { "gbk", "GB18030" },
        { "iso-2022-jp", "ISO-2022-JP" },
        { "iso-8859-1", "CP1252" },
        { "iso-8859-10", "ISO-8859-10" },
        { "iso-8859-13", "ISO-8859-13" },
        { "iso-8859-14", "ISO-8859-14" },
        { "iso-8859-15", "ISO-8859-15" },
        { "iso-8859-16", "ISO-8859-16" },
        { "iso-8859-2", "ISO-8859-2" },
        { "iso-8859-3", "ISO-8859-3" },
        { "iso-8859-4", "ISO-8859-4" },
        { "iso-8859-5", "ISO-8859-5" },
        { "iso-8859-6", "ISO-8859-6" },
        { "iso-8859-7", "ISO-8859-7" },
        { "iso-8859-8", "ISO-8859-8" },
        { "iso-8859-8-i", "ISO-8859-8" },
        { "iso-8859-9", "CP1254" },
        { "koi8-r", "KOI8-R" },
        { "koi8-u", "KOI8-U" },
        { "ks_c_5601-1987", "CP949" },
        { "latin1", "CP1252" },
        { "macintosh", "MACINTOSH" },
        { "shift_jis", "CP932" },
        { "tis-620", "TIS-620" },
        { "utf-16", "UTF-16" },
        { "utf-16be", "UTF-16BE" },
        { "utf-16le", "UTF-16LE" },
        { "windows-1250", "CP1250" },
        { "windows-1251", "CP1251" },
        { "windows-1252", "CP1252" },
        { "windows-1253", "CP1253" },
        { "windows-1254", "CP1254" },
        { "windows-1255", "CP1255" },
        { "windows-1256", "CP1256" },
        { "windows-1257", "CP1257" },
        { "windows-1258", "CP1258" },
        { "windows-874", "CP874" },
};

static const char *system_name(const char *charset) {
        for (size_t i = 0; charset && i < N_ELEMENTS(charsets); i++)
                if (strcasecmp(charsets[i].name, charset) == 0)
                        return charsets[i].system;
        return NULL;
}

static size_t copy(const char *data, size_t size, char *ret, size_t ret_size) {
        if (size > ret_size)
                size = ret_size;
        memcpy(ret, data, size);
        return size;
}

/* Each turn takes a byte at least, or ends. */
static size_t convert(iconv_t converter, char *data, size_t size, char *ret, size_t ret_size) {
        char *out = ret;
        size_t room = ret_size, n;

        while (size > 0 && room > 0) {
                if (iconv(converter, &data, &size, &out, &room) != (size_t) -1)
                        break;
                if (errno != EILSEQ || room < 4 || size == 0)
                        break; /* no room, or a character that is cut off at the end */
                n = utf8_encode(0xfffd, out);
                out += n;
                room -= n;
                data++;
                size--;
        }
        return ret_size - room;
}

size_t mail_charset_convert(
                const char *charset, const char *data, size_t size, char *ret, size_t ret_size) {
        const char *name = system_name(charset);
        iconv_t converter;
        size_t n;

        if (!name)
                return copy(data, size, ret, ret_size);
        converter = iconv_open("UTF-8", name);
        if (converter == (iconv_t) -1) /* a system without its gconv modules */
                return copy(data, size, ret, ret_size);
        n = convert(converter, (char *) (uintptr_t) data, size, ret, ret_size);
        (void) iconv_close(converter);
        return n;
}
