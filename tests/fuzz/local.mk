# Fuzz targets. `make check` replays their corpora (replay.c); `make fuzz-smoke` fuzzes each for FUZZ_SECONDS with clang's libFuzzer.
# A target: its program below (linking its room's libraries), its line in FUZZ_TARGETS with every source it stands on, and a corpus folder.
FUZZ_SECONDS = 20
FUZZ_BASE = base/buf.c base/clock.c base/err.c base/log.c base/mem.c base/num.c base/path.c base/sane.c base/utf8.c
FUZZ_MODEL = model/gguf.c model/tok.c model/tok_bpe.c model/tok_merge.c model/tok_pre.c model/tok_vocab.c model/template.c model/value.c \
	model/jinja_lex.c model/jinja_parse.c model/jinja_run.c model/jinja_op.c model/jinja_str.c model/jinja_text.c model/jinja_json.c \
	model/jinja_fmt.c model/jinja_func.c model/jinja_filter.c kernels/quant_ref.c
FUZZ_MD = ui/md.c ui/md_feed.c ui/md_lay.c ui/md_table.c ui/code.c ui/rows.c ui/surface.c
FUZZ_TARGETS = \
	'fuzz_gguf: %D%/fuzz_gguf.c $(FUZZ_MODEL) $(FUZZ_BASE)' \
	'fuzz_tok: %D%/fuzz_tok.c $(FUZZ_MODEL) $(FUZZ_BASE)' \
	'fuzz_jinja: %D%/fuzz_jinja.c $(FUZZ_MODEL) $(FUZZ_BASE)' \
	'fuzz_md: %D%/fuzz_md.c $(FUZZ_MD) $(FUZZ_BASE)' \
	'fuzz_grammar: %D%/fuzz_grammar.c model/grammar.c model/matcher.c $(FUZZ_MODEL) $(FUZZ_BASE)' \
	'fuzz_schema: %D%/fuzz_schema.c app/schema.c app/schema_number.c app/schema_pattern.c model/grammar.c model/matcher.c $(FUZZ_MODEL) $(FUZZ_BASE)' \
	'fuzz_frame: %D%/fuzz_frame.c app/frame.c app/job.c $(FUZZ_BASE)' \
	'fuzz_input: %D%/fuzz_input.c ui/input.c $(FUZZ_BASE)'

FUZZ_TESTS = %D%/fuzz_grammar %D%/fuzz_schema %D%/fuzz_gguf %D%/fuzz_tok %D%/fuzz_jinja %D%/fuzz_frame %D%/fuzz_input %D%/fuzz_md
check_PROGRAMS += $(FUZZ_TESTS)
TESTS += $(FUZZ_TESTS)
%C%_fuzz_gguf_SOURCES = %D%/fuzz_gguf.c %D%/replay.c %D%/fuzz.h
%C%_fuzz_gguf_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_gguf_LDADD = $(MODEL_LIBS)
%C%_fuzz_tok_SOURCES = %D%/fuzz_tok.c %D%/replay.c tests/model/mkgguf.h
%C%_fuzz_tok_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_tok_LDADD = $(MODEL_LIBS)
%C%_fuzz_jinja_SOURCES = %D%/fuzz_jinja.c %D%/replay.c
%C%_fuzz_jinja_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_jinja_LDADD = $(MODEL_LIBS)
%C%_fuzz_grammar_SOURCES = %D%/fuzz_grammar.c %D%/replay.c
%C%_fuzz_grammar_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_grammar_LDADD = $(MODEL_LIBS)
%C%_fuzz_schema_SOURCES = %D%/fuzz_schema.c %D%/replay.c
%C%_fuzz_schema_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_schema_LDADD = app/libapp.a $(MODEL_LIBS) $(JANSSON_LIBS)
%C%_fuzz_frame_SOURCES = %D%/fuzz_frame.c %D%/replay.c
%C%_fuzz_frame_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_frame_LDADD = app/libapp.a $(BASE_LIBS)
%C%_fuzz_input_SOURCES = %D%/fuzz_input.c %D%/replay.c
%C%_fuzz_input_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_input_LDADD = ui/libui.a $(BASE_LIBS)
%C%_fuzz_md_SOURCES = %D%/fuzz_md.c %D%/replay.c
%C%_fuzz_md_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_md_LDADD = $(UI_LIBS)

.PHONY: fuzz-smoke
fuzz-smoke:
	$(SHELL) $(srcdir)/%D%/smoke.sh $(abs_top_srcdir) $(abs_top_builddir) $(FUZZ_SECONDS) \
	  '$(UTF8PROC_CFLAGS) $(XXHASH_CFLAGS) $(MD4C_CFLAGS) $(JANSSON_CFLAGS)' \
	  '$(UTF8PROC_LIBS) $(XXHASH_LIBS) $(MD4C_LIBS) $(JANSSON_LIBS) -lm' $(FUZZ_TARGETS)

EXTRA_DIST += %D%/smoke.sh %D%/corpus
