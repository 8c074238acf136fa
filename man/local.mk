dist_man_MANS += %D%/hadal.1
