noinst_LIBRARIES += %D%/libapp.a
%C%_libapp_a_SOURCES = %D%/app.h %D%/conf.h %D%/chat.h %D%/engine.h
%C%_libapp_a_SOURCES += %D%/report.c %D%/sig.c
%C%_libapp_a_SOURCES += %D%/chat.c %D%/sandbox.h %D%/sandbox.c %D%/engine_main.c %D%/reason.h %D%/reason.c
%C%_libapp_a_SOURCES += %D%/frame.h %D%/frame.c %D%/job.c %D%/engine_impl.h %D%/engine.c %D%/engine_proc.c %D%/engine_script.c
%C%_libapp_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS) $(SECCOMP_CFLAGS)

# settings, command line, one shot
%C%_libapp_a_SOURCES += %D%/conf.c %D%/opts.c %D%/opts.h %D%/schema.c %D%/schema.h %D%/schema_impl.h %D%/schema_number.c %D%/schema_pattern.c %D%/session.c %D%/when.c %D%/jtext.c %D%/jtext.h %D%/jvalue.h
%C%_libapp_a_SOURCES += %D%/question.c %D%/question.h %D%/face_once.c %D%/outfile.c %D%/ginfo.c %D%/ginfo.h
%C%_libapp_a_SOURCES += %D%/cmd.c %D%/cmd.h %D%/cmd_ls.c %D%/cmd_show.c %D%/cmd_search.c %D%/cmd_rename.c %D%/cmd_rm.c %D%/cmd_export.c
%C%_libapp_a_SOURCES += %D%/cmd_import.c %D%/cmd_models.c %D%/cmd_info.c %D%/cmd_doctor.c %D%/cmd_completion.c %D%/cmd_tokenize.c
%C%_libapp_a_SOURCES += %D%/cmd_render.c %D%/cmd_sample.c %D%/cmd_logits.c %D%/cmd_eval.c %D%/cmd_bench.c

%C%_libapp_a_SOURCES += %D%/export.c %D%/import.c

bin_PROGRAMS += hadal
hadal_SOURCES = %D%/main.c
hadal_CFLAGS = $(AM_CFLAGS)
hadal_LDADD = $(APP_LIBS)

# line face
%C%_libapp_a_SOURCES += %D%/face.h %D%/face_draft.c %D%/face.c %D%/face_line.c %D%/full.h %D%/face_full.c %D%/full_status.c %D%/full_ext.c %D%/full_script.c %D%/face_show.c %D%/slash.c %D%/slash.h %D%/slash_chat.c %D%/slash_export.c %D%/slash_sessions.c %D%/slash_set.c

# full screen: the views beside the chat
%C%_libapp_a_SOURCES += %D%/slash_library.c %D%/cmd_library.c %D%/full_sessions.c %D%/full_tree.c %D%/full_models.c %D%/keys.c %D%/keys.h %D%/export.h %D%/export_html.c %D%/import.h %D%/import_foreign.c
