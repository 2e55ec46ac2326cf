package main

import (
	"errors"
	"os"
)

// errOtherUser says that this process cannot become the user it is asked about.
var errOtherUser = errors.New("only root can try that as another user")

// stateUser is the user that an agent runs as: the owner of its state folder, or
// whoever asks if there is none yet.
type stateUser struct {
	name     string
	uid, gid int
	isSelf   bool
}

// reading tries to read as this process does. closed is the folder that keeps it
// from that, "" if it is the file.
func reading(path string) (closed string, err error) {
	f, err := os.Open(path)
	if err == nil {
		return "", f.Close()
	}
	return firstClosed(path), err
}
