/*
 * Schemas: which texts their grammars take, texts made at random are JSON, and what is refused and where.
 */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>

#include "app/schema.h"
#include "model/grammar.h"

static struct grammar *made(const char *schema, struct err *err)
{
    struct buf b = BUF_INIT(16u << 20);
    struct grammar *g = NULL;
    int rc = schema_to_grammar(schema, strlen(schema), &b, err);
    if (!rc && grammar_parse(buf_str(&b), b.len, &g, err))
        fail_msg("%s: %s in:\n%s", schema, err->msg, buf_str(&b));
    assert_true(rc == 0 || rc == ERR_INPUT);
    buf_finish(&b);
    return g;
}

static bool takes(const struct grammar *g, const char *text)
{
    struct matcher *m;
    int rc = 1;
    assert_int_equal(matcher_create(g, NULL, &m, NULL), 0);
    for (; *text && rc == 1; text++)
        rc = matcher_byte(m, (unsigned char)*text, NULL);
    bool whole = rc == 1 && matcher_can_end(m);
    matcher_destroy(m);
    return whole;
}

#define MANY 24

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *yes[MANY], *no[MANY];
    } rows[] = {
        {"{}", {"1", "\"a\"", "[1, {\"b\":null}]", "true", "-1.5e-3"}, {"", "01", "[1,]", "{a:1}", "nul", "\"\\ud800\"", "\"\n\""}},
        {"true", {"{}"}, {"{"}},
        {"{\"type\":\"boolean\"}", {"true", "false"}, {"null", "\"true\""}},
        {"{\"type\":[\"string\",\"null\"]}", {"null", "\"\""}, {"1"}},
        {"{\"enum\":[1,\"a\",null,{\"b\":[2]}]}", {"1", "\"a\"", "null", "{\"b\":[2]}"}, {"2", "a"}},
        {"{\"enum\":[1,\"a\",2.5],\"type\":\"integer\"}", {"1"}, {"\"a\"", "2.5"}},
        {"{\"const\":\"q\\\"\\\\\"}", {"\"q\\\"\\\\\""}, {"\"q\""}},
        {"{\"type\":\"integer\"}", {"0", "-12", "999999999999999"}, {"01", "1.0", "-", "1e3", "1000000000000000"}},
        {"{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120}", {"-3", "-1", "0", "9", "10", "99", "100", "119", "120"}, {"-4", "-0", "121", "130", "200", "1000", "00"}},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":5,\"exclusiveMaximum\":1000}", {"6", "10", "999"}, {"5", "1000", "1"}},
        {"{\"type\":\"integer\",\"minimum\":12345}", {"12345", "99999", "100000", "12400"}, {"12344", "9", "-20000"}},
        {"{\"type\":\"integer\",\"maximum\":-10}", {"-10", "-11", "-100"}, {"-9", "10", "0"}},
        {"{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":1.5}", {"1"}, {"0", "2"}},
        {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", {"0", "1", "0.5", "0.999", "1.0", "1.000"}, {"1.001", "-0.1", "2", "1.5", ".5"}},
        {"{\"type\":\"number\",\"minimum\":-1.5,\"exclusiveMaximum\":0.25}", {"-1.5", "-1", "0", "0.1", "0.249", "-0.75"}, {"0.25", "-1.51", "1"}},
        {"{\"type\":\"number\"}", {"3.14", "-2e10", "0.1"}, {"1.", "+1"}},
        {"{\"minimum\":3}", {"3", "3.5"}, {"2.9", "\"a\""}},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", {"\"ab\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\\n\\u00e9\""}, {"\"a\"", "\"abcd\"", "ab"}},
        {"{\"type\":\"string\",\"maxLength\":0}", {"\"\""}, {"\"a\""}},
        {"{\"type\":\"string\",\"format\":\"date\"}", {"\"2024-02-28\"", "\"1999-12-31\""}, {"\"2023-02-29\"", "\"2024-13-01\"", "\"2024-04-31\"", "\"24-01-01\""}},
        {"{\"format\":\"time\"}", {"\"23:59:59Z\"", "\"00:00:00.125+02:00\""}, {"\"24:00:00Z\"", "\"12:00:00\""}},
        {"{\"format\":\"date-time\"}", {"\"2024-02-28T12:30:00Z\""}, {"\"2024-02-28 12:30:00Z\""}},
        {"{\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567e89b12d3a456426614174000\""}},
        {"{\"format\":\"colour\"}", {"\"red\""}, {"1"}},
        {"{\"pattern\":\"^[a-c]+\\\\d{2,3}$\"}", {"\"ab12\"", "\"c123\""}, {"\"ab1\"", "\"d12\"", "\"xab12\"", "\"ab1234\""}},
        {"{\"pattern\":\"cat\"}", {"\"cat\"", "\"a cat!\""}, {"\"ca\""}},
        {"{\"pattern\":\"^(?:ab|c(d|e)?)*$\"}", {"\"\"", "\"abcdc\""}, {"\"a\"", "\"d\""}},
        {"{\"pattern\":\"^[^a-z]\\\\.\\\"\\\\\\\\$\"}", {"\"A.\\\"\\\\\""}, {"\"a.\\\"\\\\\"", "\"A.\"\"", "\"Ax\\\"\\\\\""}},
        {"{\"pattern\":\"^a|b\"}", {NULL}, {NULL}},
        {"{\"pattern\":\"^\\\\w+@\\\\w+\\\\.(com|org)$\"}", {"\"me_1@site.org\""}, {"\"me@site.net\"", "\"@a.com\""}},
        {"{\"type\":\"array\"}", {"[]", "[1, \"a\"]"}, {"[", "{}"}},
        {"{\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}", {"[1,2]", "[1, 2, 3]", "[\n  1,\n  2\n]"}, {"[1]", "[1,2,3,4]", "[1,\"a\"]", "[1 2]"}},
        {"{\"items\":{\"type\":\"null\"},\"maxItems\":1}", {"[]", "[null]"}, {"[null,null]"}},
        {"{\"items\":{\"type\":\"null\"},\"maxItems\":0}", {"[]"}, {"[null]"}},
        {"{\"items\":false}", {"[]"}, {"[1]"}},
        {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", {"[1,\"a\"]"}, {"[\"a\",1]", "[1,\"a\",2]"}},
        {"{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"string\"},\"minItems\":2,\"maxItems\":3}", {"[1,\"a\"]", "[1,\"a\",\"b\"]"}, {"[1]", "[1,\"a\",\"b\",\"c\"]"}},
        {"{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"null\"}}", {"[1]", "[1,null]"}, {"[null]", "[]"}},
        {"{\"type\":\"object\"}", {"{}", "{\"a\":1}"}, {"[]"}},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"}},\"required\":[\"a\"]}",
         {"{\"a\":1}", "{\"a\":1,\"b\":null}", "{ \"a\": 1, \"b\": null }"}, {"{}", "{\"b\":null}", "{\"a\":1,}", "{\"a\":1,\"c\":2}", "{\"a\":1\"b\":null}"}},
        {"{\"properties\":{\"a\":true,\"b\":true,\"c\":true}}", {"{}", "{\"a\":1}", "{\"b\":1}", "{\"c\":1}", "{\"a\":1,\"c\":2}", "{\"b\":1,\"c\":2}"}, {"{,\"a\":1}", "{\"c\":1,\"a\":2}"}},
        {"{\"properties\":{\"ab\":{\"type\":\"integer\"},\"abc\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"string\"}}",
         {"{}", "{\"ab\":1,\"z\":\"s\"}", "{\"a\":\"s\"}", "{\"abd\":\"s\"}", "{\"\":\"s\"}", "{\"abcd\":\"s\",\"bb\":\"t\"}", "{\"b\":1}"},
         {"{\"ab\":\"s\"}", "{\"b\":\"s\"}", "{\"z\":1}", "{\"abc\":\"s\"}"}},
        {"{\"properties\":{\"a]\":true,\"a^\":true,\"a-\":true,\"\xC3\xA9\":true},\"additionalProperties\":{\"type\":\"null\"}}", {"{\"a\":null}", "{\"a[\":null}", "{\"\xC3\xA8\":null}"}, {"{\"x\":1}"}},
        {"{\"required\":[\"x\"],\"additionalProperties\":{\"type\":\"integer\"}}", {"{\"x\":1}", "{\"x\":1,\"y\":2}"}, {"{\"x\":\"a\"}", "{\"y\":1}", "{}"}},
        {"{\"properties\":{\"no\":false,\"yes\":true}}", {"{\"yes\":1}", "{}"}, {"{\"no\":1}"}},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1},false]}", {"1", "\"a\""}, {"\"ab\"", "null"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
         {"{\"a\":1}", "{\"b\":1}"}, {"{}", "{\"a\":\"x\"}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"b\":{\"type\":\"null\"}},\"required\":[\"b\"]}]}", {"{\"a\":1,\"b\":null}"}, {"{\"a\":1}", "{\"b\":null}"}},
        {"{\"allOf\":[{\"minimum\":3},{\"maximum\":5},{\"type\":\"integer\"},{\"minimum\":4}]}", {"4", "5"}, {"3", "6", "4.5"}},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":2}}},{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":3}}}]}", {"{\"a\":2}", "{}"}, {"{\"a\":4}", "{\"a\":2.5}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":true},\"additionalProperties\":false},{\"properties\":{\"b\":true}}]}", {"{\"a\":1}", "{}"}, {"{\"b\":1}"}},
        {"{\"allOf\":[{\"enum\":[1,2,3]},{\"enum\":[2,3,4]}],\"maximum\":2}", {"2"}, {"1", "3"}},
        {"{\"$ref\":\"#/$defs/n~0a~1b\",\"$defs\":{\"n~a/b\":{\"type\":\"null\"}}}", {"null"}, {"1"}},
        {"{\"$ref\":\"#/definitions/x%20y\",\"definitions\":{\"x y\":{\"type\":\"null\"}}}", {"null"}, {"1"}},
        {"{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"properties\":{\"v\":{\"type\":\"integer\"},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\"]}}}",
         {"{\"v\":1}", "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[]},{\"v\":3}]}"}, {"{\"kids\":[]}", "{\"v\":1,\"kids\":[{}]}"}},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}", {"null", "[[null],[]]"}, {"[1]"}},
        {"{\"$ref\":\"#/$defs/a\",\"maximum\":3,\"$defs\":{\"a\":{\"type\":\"integer\",\"minimum\":2}}}", {"2", "3"}, {"1", "4"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        struct grammar *g = made(rows[i].schema, &err);
        if (!g && rows[i].yes[0])
            fail_msg("%s: %s", rows[i].schema, err.msg);
        for (int k = 0; k < MANY; k++) {
            if (rows[i].yes[k] && !takes(g, rows[i].yes[k]))
                fail_msg("%s refuses %s", rows[i].schema, rows[i].yes[k]);
            if (rows[i].no[k] && takes(g, rows[i].no[k]))
                fail_msg("%s takes %s", rows[i].schema, rows[i].no[k]);
        }
        /* a walk at random that turns home in time: JSON, always */
        uint32_t dice = (uint32_t)i;
        for (int round = 0; g && round < 20; round++) {
            struct matcher *m;
            struct buf text = BUF_INIT(1 << 20);
            assert_int_equal(matcher_create(g, NULL, &m, NULL), 0);
            while (!matcher_must_end(m)) {
                unsigned char c = 0;
                int rc = 0;
                if (matcher_can_end(m) && text.len > 60)
                    break;
                for (int tries = 0; rc == 0; tries++) { /* at first any byte, then the nearest way home */
                    dice = dice * 1664525u + 1013904223u;
                    c = (unsigned char)(dice >> 16);
                    if (tries > 2000)
                        c = (unsigned char)(tries & 255);
                    rc = matcher_byte(m, c, NULL);
                }
                assert_int_equal(rc, 1);
                buf_addch(&text, (char)c);
                if (text.len > 400) /* endless choice: enough of it */
                    break;
            }
            if (matcher_can_end(m)) {
                json_error_t je;
                json_t *j = json_loadb(buf_str(&text), text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
                if (!j)
                    fail_msg("%s: %s: %s", rows[i].schema, je.text, buf_str(&text));
                json_decref(j);
            }
            buf_finish(&text);
            matcher_destroy(m);
        }
        grammar_free(g);
    }
}

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *says;
    } rows[] = {
        {"", "line 1, column 0: this is no JSON"}, {"{\n \"type\": }", "line 2, column "}, {"{\"type\":\"int\"}", "at #: there is no type 'int'"}, {"3", "at #: a schema is an object"},
        {"{\"type\":7}", "at #: type is neither"}, {"{\"properties\":{\"a/b\":{\"type\":\"x\"}}}", "at #/properties/a~1b: there is no type 'x'"},
        {"{\"anyOf\":[true,{\"items\":{\"not\":{}}}]}", "at #/anyOf/1/items: not cannot be held"}, {"{\"$ref\":\"#/nowhere\"}", "at #: $ref '#/nowhere' leads to nothing"},
        {"{\"$ref\":\"http://x/y\"}", "leads out of the document"}, {"{\"minLength\":-1}", "minLength is no whole number"}, {"{\"minItems\":1.5}", "minItems is no whole number"},
        {"{\"minItems\":100000}", "minItems is above 10000"}, {"{\"pattern\":\"(?=a)\"}", "the pattern has a group that looks around"}, {"{\"pattern\":\"a**\"}", "repetition of a repetition"},
        {"{\"pattern\":\"^a|b$\"}", "an anchor beside an alternative"}, {"{\"pattern\":\"a^b\"}", "an anchor in the middle"}, {"{\"pattern\":\"(a\"}", "not closed"}, {"{\"pattern\":\"a)\"}", "closes nothing"},
        {"{\"pattern\":\"(a)\\\\1\"}", "an escape that"}, {"{\"pattern\":\"[a\"}", "a class that does not end"}, {"{\"pattern\":\"a\",\"minLength\":2}", "only one of"},
        {"{\"uniqueItems\":true}", "uniqueItems"}, {"{\"type\":\"integer\",\"multipleOf\":5}", "multipleOf"}, {"{\"enum\":[]}", "enum is no array"}, {"{\"properties\":[]}", "properties is no object"},
        {"false", "no text satisfies the schema"}, {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "no text satisfies the schema"},
        {"{\"properties\":{\"a\":{\"enum\":[1],\"type\":\"string\"}},\"required\":[\"a\"]}", "no text satisfies the schema (look at #/properties/a)"},
        {"{\"minimum\":3,\"maximum\":2}", "no text satisfies"}, {"{\"minItems\":3,\"maxItems\":2}", "no text satisfies"}, {"{\"items\":false,\"minItems\":1}", "no text satisfies"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/a\"}},\"required\":[\"a\"]}}}", "no text satisfies"},
        {"{\"required\":[\"a\"],\"additionalProperties\":false}", "no text satisfies"}, {"{\"$ref\":\"#\"}", "refers to itself"}, {"{\"allOf\":[{\"$ref\":\"#\"}]}", "circle"},
        {"{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", "two different values of pattern"}, {"{\"type\":\"string\",\"type\":\"null\"}", "no JSON: duplicate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        struct grammar *g = made(rows[i].schema, &err);
        if (g || !strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].schema, g ? "taken" : err.msg);
    }
    struct buf deep = BUF_INIT(1 << 20);
    struct err err = {0};
    for (int i = 0; i < 500; i++)
        buf_addstr(&deep, "{\"items\":");
    buf_addstr(&deep, "{}");
    for (int i = 0; i < 500; i++)
        buf_addch(&deep, '}');
    assert_null(made(buf_str(&deep), &err));
    assert_non_null(strstr(err.msg, "too deep"));
    buf_finish(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(mistakes)};
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
