# bash completion for pinconnector: commands, options and extensions come from the program's own help, so that it is always of
# the installed version.

_pinconnector() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} command="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --config | --log) i=$((i + 1)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    COMPREPLY=()
    case $previous in
    --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --log)
        mapfile -t COMPREPLY < <(compgen -W "error warn info debug trace" -- "$current")
        return
        ;;
    esac
    local words
    if [[ -z $command || ($command == help && $current != -*) ]]; then
        words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]\{1,\}\)  *[^ ].*/\1/p')
        [[ $current == -* ]] && words="--config --log --help --version"
    else
        words=$("$program" help "$command" 2>/dev/null | grep -o -- '--[a-z][a-z-]*')
        # outbox list | retry | drop
        [[ $command == outbox && $previous == outbox && $current != -* ]] && words="list retry drop"
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _pinconnector pinconnector
