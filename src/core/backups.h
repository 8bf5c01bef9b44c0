/* backups.h - the backups that a change of the subnet leaves, `backups/subnet_change_<unix>/` in the state
 * directory: what is in one (docs/protocols/control.md), and how many are kept.
 *
 * A backup is whole once its BACKUP_METADATA is there, which is written last.
 */
#ifndef QANAT_CORE_BACKUPS_H
#define QANAT_CORE_BACKUPS_H

#define BACKUPS_DIR "backups"
#define BACKUP_PREFIX "subnet_change_"
#define BACKUP_METADATA "backup_metadata.json"
#define BACKUP_RULES "firewall_rules.json"
#define BACKUPS_MAX 50

/* Removes what a crash or a full disk left unfinished, and all but the newest BACKUPS_MAX.  Files that are not
 * of a backup stay, and keep their directory.  What cannot be removed is a warning in the log. */
void backups_tidy(const char *state_dir);

#endif
