/*
 * Which conversation: opening the history as the settings ask, and the session that goes on.
 */
#include "config.h"
#include "app/app.h"

int app_history(const struct conf *c, bool read_only, struct hist **out, struct err *err)
{
    *out = NULL;
    if (c->no_save)
        return 0;
    int rc = hist_open(NULL, read_only, out, err);
    if (rc)
        return rc;
    if (hist_notice(*out))
        notice("%s", hist_notice(*out));
    return 0;
}

int app_failed(const struct err *err)
{
    struct err e = *err;
    if (err->code == ERR_HISTORY)
        err_set(&e, ERR_HISTORY, "%.400s (-n goes on without saving)", err->msg);
    return report(&e);
}

int app_session(const struct conf *c, struct hist *h, int64_t *id, struct err *err)
{
    *id = 0;
    if (!c->cont && !c->session)
        return 0;
    if (!h)
        return err_set(err, ERR_USAGE, "with -n there is no session to go on with");
    return hist_session_find(h, c->session, false, id, err);
}
