<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="fr" sourcelanguage="en">
    <context>
        <name>Colorize</name>
        <message>
            <source>No lineart is chosen.</source>
            <translation>Aucun calque de trait n’est choisi.</translation>
        </message>
        <message>
            <source>Choose the layer with your lines under Layers.</source>
            <translation>Choisissez le calque de votre trait sous Calques.</translation>
        </message>
        <message>
            <source>Colour frames</source>
            <translation>Mettre des images en couleurs</translation>
        </message>
        <message>
            <source>Each frame is coloured by the hints shown at it: give the hint layer key frames where the colours should change. The result is one animated layer, one step to undo.</source>
            <translation>Chaque image est mise en couleurs d’après les touches qu’on y voit : donnez au calque des touches des images clés là où les couleurs doivent changer. Le résultat est un seul calque animé, une seule étape d’annulation.</translation>
        </message>
        <message>
            <source>First frame:</source>
            <translation>Première image :</translation>
        </message>
        <message>
            <source>Last frame:</source>
            <translation>Dernière image :</translation>
        </message>
        <message>
            <source>Frame {n} of {total}</source>
            <translation>Image {n} sur {total}</translation>
        </message>
        <message>
            <source>The lineart layer was deleted.</source>
            <translation>Le calque de trait a été supprimé.</translation>
        </message>
        <message>
            <source>Choose another one and start again.</source>
            <translation>Choisissez-en un autre et recommencez.</translation>
        </message>
        <message>
            <source>Start again.</source>
            <translation>Recommencez.</translation>
        </message>
        <message>
            <source>The frames cannot be written to {folder}: {error}</source>
            <translation>Impossible d’écrire les images dans {folder} : {error}</translation>
        </message>
        <message>
            <source>Free some space on the disk and start again.</source>
            <translation>Libérez de la place sur le disque et recommencez.</translation>
        </message>
        <message>
            <source>There is no lineart on these frames.</source>
            <translation>Il n’y a pas de trait sur ces images.</translation>
        </message>
        <message>
            <source>Choose other frames or another layer.</source>
            <translation>Choisissez d’autres images ou un autre calque.</translation>
        </message>
        <message>
            <source>Krita could not take the frames.</source>
            <translation>Krita n’a pas pu prendre les images.</translation>
        </message>
        <message>
            <source>{n} frames are coloured.</source>
            <translation>{n} images sont en couleurs.</translation>
        </message>
        <message>
            <source>The document was closed.</source>
            <translation>Le document a été fermé.</translation>
        </message>
        <message>
            <source>Open it and start again.</source>
            <translation>Ouvrez-le et recommencez.</translation>
        </message>
        <message>
            <source>The size of the image has changed.</source>
            <translation>La taille de l’image a changé.</translation>
        </message>
        <message>
            <source>Close other programs if memory is short; else report it.</source>
            <translation>Fermez d’autres programmes si la mémoire manque ; sinon, signalez-le.</translation>
        </message>
        <message>
            <source>The result is kept in the list; nothing was changed.</source>
            <translation>Le résultat est gardé dans la liste ; rien n’a été modifié.</translation>
        </message>
        <message>
            <source>Close other programs if memory is short.</source>
            <translation>Fermez d’autres programmes si la mémoire manque.</translation>
        </message>
        <message>
            <source>The report is on the clipboard.</source>
            <translation>Le rapport est dans le presse-papiers.</translation>
        </message>
        <message>
            <source>It holds no picture and no keys.</source>
            <translation>Il ne contient ni image ni clé.</translation>
        </message>
        <message>
            <source>The last picture is still on its way.</source>
            <translation>L’image précédente est encore en cours.</translation>
        </message>
        <message>
            <source>Cancel ends it.</source>
            <translation>« Annuler » y met fin.</translation>
        </message>
        <message>
            <source>There is no layer to colour.</source>
            <translation>Il n’y a pas de calque à mettre en couleurs.</translation>
        </message>
        <message>
            <source>Add a layer with your lineart first.</source>
            <translation>Ajoutez d’abord un calque avec votre trait.</translation>
        </message>
        <message>
            <source>The image was in shades of grey. It is RGB now, so that it can hold colours.</source>
            <translation>L’image était en niveaux de gris. Elle est maintenant en RVB, pour pouvoir contenir des couleurs.</translation>
        </message>
        <message>
            <source>Undo twice if you do not want that.</source>
            <translation>Annulez deux fois si vous ne le souhaitez pas.</translation>
        </message>
        <message>
            <source>Engine's Python</source>
            <translation>Python du moteur</translation>
        </message>
        <message>
            <source>Path of the Python in which the engine is installed; empty = as the installer has set it:</source>
            <translation>Chemin du Python où le moteur est installé ; vide = celui choisi par l’installateur :</translation>
        </message>
        <message>
            <source>{seconds:.1f} s</source>
            <translation>{seconds:.1f} s</translation>
        </message>
        <message>
            <source>seed {seed}</source>
            <translation>graine {seed}</translation>
        </message>
        <message>
            <source>No. {n}</source>
            <translation>Nº {n}</translation>
        </message>
        <message>
            <source>The lineart layer is empty.</source>
            <translation>Le calque de trait est vide.</translation>
        </message>
        <message>
            <source>Draw on it, or choose another layer as lineart under Layers.</source>
            <translation>Dessinez-y, ou choisissez un autre calque de trait sous Calques.</translation>
        </message>
        <message>
            <source>The image is too small: {width} x {height} pixels.</source>
            <translation>L’image est trop petite : {width} x {height} pixels.</translation>
        </message>
        <message>
            <source>Colorize works from 8 pixels a side on.</source>
            <translation>Colorize travaille à partir de 8 pixels de côté.</translation>
        </message>
        <message>
            <source>The image is too large: {width} x {height} pixels.</source>
            <translation>L’image est trop grande : {width} x {height} pixels.</translation>
        </message>
        <message>
            <source>Colorize takes up to 120 million pixels. Work on a part of it or on a smaller copy.</source>
            <translation>Colorize prend jusqu’à 120 millions de pixels. Travaillez sur une partie de l’image ou sur une copie plus petite.</translation>
        </message>
        <message>
            <source>The lineart layer is chosen for the hints or the mask too.</source>
            <translation>Le calque de trait est choisi aussi pour les touches ou le masque.</translation>
        </message>
        <message>
            <source>Choose another layer there, or press New colouring set.</source>
            <translation>Choisissez-y un autre calque, ou appuyez sur Nouveau jeu de calques.</translation>
        </message>
        <message>
            <source>The hint layer is painted all over, so strokes and ground cannot be told apart.</source>
            <translation>Le calque des touches est entièrement peint : impossible de distinguer les touches du fond.</translation>
        </message>
        <message>
            <source>Draw your strokes on a transparent layer; New colouring set makes one.</source>
            <translation>Tracez vos touches sur un calque transparent ; Nouveau jeu de calques en crée un.</translation>
        </message>
        <message>
            <source>Nothing says where to go on.</source>
            <translation>Rien n’indique où continuer.</translation>
        </message>
        <message>
            <source>Paint on the mask layer or make a selection over the part to colour anew.</source>
            <translation>Peignez sur le calque de masque, ou sélectionnez la partie à remettre en couleurs.</translation>
        </message>
        <message>
            <source>a part of the plugin is missing (its folder protocol)</source>
            <translation>il manque une partie du module (son dossier protocol)</translation>
        </message>
        <message>
            <source>install the plugin again with colorize-install</source>
            <translation>réinstallez le module avec colorize-install</translation>
        </message>
        <message>
            <source>another plugin has loaded {library} {version}, which is too old</source>
            <translation>un autre module a chargé {library} {version}, qui est trop ancien</translation>
        </message>
        <message>
            <source>update that plugin or switch it off, then start Krita again</source>
            <translation>mettez ce module à jour ou désactivez-le, puis redémarrez Krita</translation>
        </message>
        <message>
            <source>run colorize-install again for this Krita</source>
            <translation>relancez colorize-install pour ce Krita</translation>
        </message>
        <message>
            <source>it has them for {systems}</source>
            <translation>il les a pour {systems}</translation>
        </message>
        <message>
            <source>it has none at all</source>
            <translation>il n’en a aucune</translation>
        </message>
        <message>
            <source>the plugin lacks the libraries pyzmq and msgpack for {system}: {have}</source>
            <translation>il manque au module les bibliothèques pyzmq et msgpack pour {system} : {have}</translation>
        </message>
        <message>
            <source>the plugin has no pyzmq for Python {python} on {system} ({machine}), only for Python {others}</source>
            <translation>le module n’a pas de pyzmq pour Python {python} sous {system} ({machine}), seulement pour Python {others}</translation>
        </message>
        <message>
            <source>the plugin's libraries cannot be loaded by Python {python}: {reason}</source>
            <translation>Python {python} ne peut pas charger les bibliothèques du module : {reason}</translation>
        </message>
        <message>
            <source>run colorize-install again, or choose the engine's Python in the menu of the docker</source>
            <translation>relancez colorize-install, ou choisissez le Python du moteur dans le menu du panneau</translation>
        </message>
        <message>
            <source>the engine's Python is not there: {program}</source>
            <translation>le Python du moteur est introuvable : {program}</translation>
        </message>
        <message>
            <source>the engine's Python cannot be started ({reason}): {program}</source>
            <translation>le Python du moteur ne démarre pas ({reason}) : {program}</translation>
        </message>
        <message>
            <source>start it again; if it happens again, copy the report and send it to us</source>
            <translation>redémarrez-le ; si cela se reproduit, copiez le rapport et envoyez-le-nous</translation>
        </message>
        <message>
            <source>the engine is not installed in {python}</source>
            <translation>le moteur n’est pas installé dans {python}</translation>
        </message>
        <message>
            <source>the engine's Python lacks the module {module}: {python}</source>
            <translation>il manque au Python du moteur le module {module} : {python}</translation>
        </message>
        <message>
            <source>close other programs if memory is short, then start it again</source>
            <translation>fermez d’autres programmes si la mémoire manque, puis redémarrez-le</translation>
        </message>
        <message>
            <source>the engine was stopped</source>
            <translation>le moteur a été arrêté</translation>
        </message>
        <message>
            <source>the engine was ended by {signal}</source>
            <translation>le moteur a été interrompu par {signal}</translation>
        </message>
        <message>
            <source>the engine ended with code {code}</source>
            <translation>le moteur s’est terminé avec le code {code}</translation>
        </message>
        <message>
            <source>the engine's Python</source>
            <translation>le Python du moteur</translation>
        </message>
        <message>
            <source>the Python chosen for the engine</source>
            <translation>le Python choisi pour le moteur</translation>
        </message>
        <message>
            <source>correct or remove the variable COLORIZE_PYTHON, then start Krita again</source>
            <translation>corrigez ou supprimez la variable COLORIZE_PYTHON, puis redémarrez Krita</translation>
        </message>
        <message>
            <source>choose the engine's Python in the menu of the docker</source>
            <translation>choisissez le Python du moteur dans le menu du panneau</translation>
        </message>
        <message>
            <source>{what} is no full path: {program}</source>
            <translation>{what} n’est pas un chemin complet : {program}</translation>
        </message>
        <message>
            <source>{what} is not there any more: {program}</source>
            <translation>{what} n’est plus là : {program}</translation>
        </message>
        <message>
            <source>{what} is no program: {program}</source>
            <translation>{what} n’est pas un programme : {program}</translation>
        </message>
        <message>
            <source>the engine has not been set up for this Krita ({path} is missing)</source>
            <translation>le moteur n’a pas été configuré pour ce Krita ({path} manque)</translation>
        </message>
        <message>
            <source>{path} cannot be read ({reason})</source>
            <translation>{path} est illisible ({reason})</translation>
        </message>
        <message>
            <source>{path} is no good: {reason}</source>
            <translation>{path} n’est pas valable : {reason}</translation>
        </message>
        <message>
            <source>it does not hold a map</source>
            <translation>il ne contient pas de table de valeurs</translation>
        </message>
        <message>
            <source>it is of another release</source>
            <translation>il vient d’une autre version</translation>
        </message>
        <message>
            <source>its command is no list of words</source>
            <translation>sa commande n’est pas une liste de mots</translation>
        </message>
        <message>
            <source>its command does not begin with a full path</source>
            <translation>sa commande ne commence pas par un chemin complet</translation>
        </message>
        <message>
            <source>its runtime or version is no text</source>
            <translation>son runtime ou sa version n’est pas un texte</translation>
        </message>
        <message>
            <source>its runtime is no full path</source>
            <translation>son runtime n’est pas un chemin complet</translation>
        </message>
        <message>
            <source>wait a moment, or start it again</source>
            <translation>attendez un instant, ou redémarrez-le</translation>
        </message>
        <message>
            <source>the plugin and the engine {version} are of different releases</source>
            <translation>le module et le moteur {version} sont de versions différentes</translation>
        </message>
        <message>
            <source>close other programs that use the engine, run colorize-install again and start Krita again</source>
            <translation>fermez les autres programmes qui utilisent le moteur, relancez colorize-install et redémarrez Krita</translation>
        </message>
        <message>
            <source>the engine runs, but is not to be found in {folder}</source>
            <translation>le moteur tourne, mais reste introuvable dans {folder}</translation>
        </message>
        <message>
            <source>copy the report and send it to us</source>
            <translation>copiez le rapport et envoyez-le-nous</translation>
        </message>
        <message>
            <source>an engine runs, but is not to be found in {folder}</source>
            <translation>un moteur tourne, mais reste introuvable dans {folder}</translation>
        </message>
        <message>
            <source>run colorize-install again, then start Krita again</source>
            <translation>relancez colorize-install, puis redémarrez Krita</translation>
        </message>
        <message>
            <source>the engine does not answer</source>
            <translation>le moteur ne répond pas</translation>
        </message>
        <message>
            <source>it is started again by itself</source>
            <translation>il est redémarré automatiquement</translation>
        </message>
        <message>
            <source>the engine was stopped from outside</source>
            <translation>le moteur a été arrêté de l’extérieur</translation>
        </message>
        <message>
            <source>Sending the picture</source>
            <translation>Envoi de l’image</translation>
        </message>
        <message>
            <source>Waiting for other jobs</source>
            <translation>Attente d’autres travaux</translation>
        </message>
        <message>
            <source>Loading the model</source>
            <translation>Chargement du modèle</translation>
        </message>
        <message>
            <source>Finding the regions</source>
            <translation>Recherche des régions</translation>
        </message>
        <message>
            <source>Choosing the colours</source>
            <translation>Choix des couleurs</translation>
        </message>
        <message>
            <source>Painting the flats</source>
            <translation>Peinture des aplats</translation>
        </message>
        <message>
            <source>Painting the shading</source>
            <translation>Peinture des ombres</translation>
        </message>
        <message>
            <source>Handing over the result</source>
            <translation>Remise du résultat</translation>
        </message>
        <message>
            <source>install plugin and engine of the same release: run colorize-install again</source>
            <translation>installez un module et un moteur de la même version : relancez colorize-install</translation>
        </message>
        <message>
            <source>press Colorize again</source>
            <translation>appuyez de nouveau sur Coloriser</translation>
        </message>
        <message>
            <source>the plugin and the engine are of different releases</source>
            <translation>le module et le moteur sont de versions différentes</translation>
        </message>
        <message>
            <source>the engine cannot be reached at the address it gives</source>
            <translation>le moteur est injoignable à l’adresse qu’il donne</translation>
        </message>
        <message>
            <source>start the engine again</source>
            <translation>redémarrez le moteur</translation>
        </message>
        <message>
            <source>the picture is too large for the engine</source>
            <translation>l’image est trop grande pour le moteur</translation>
        </message>
        <message>
            <source>work on a part of it or on a smaller copy</source>
            <translation>travaillez sur une partie de l’image ou sur une copie plus petite</translation>
        </message>
        <message>
            <source>too many jobs are waiting</source>
            <translation>trop de travaux attendent</translation>
        </message>
        <message>
            <source>wait until some are done</source>
            <translation>attendez que quelques-uns soient finis</translation>
        </message>
        <message>
            <source>there is not enough memory for this job</source>
            <translation>il n’y a pas assez de mémoire pour ce travail</translation>
        </message>
        <message>
            <source>close other programs, or choose a smaller size</source>
            <translation>fermez d’autres programmes, ou choisissez une taille plus petite</translation>
        </message>
        <message>
            <source>the engine's device process was lost during this job</source>
            <translation>le processus de calcul du moteur a été perdu pendant ce travail</translation>
        </message>
        <message>
            <source>the engine's device process does not start</source>
            <translation>le processus de calcul du moteur ne démarre pas</translation>
        </message>
        <message>
            <source>copy the report, it tells why; installing again with colorize-install often helps</source>
            <translation>copiez le rapport, il dit pourquoi ; une réinstallation avec colorize-install aide souvent</translation>
        </message>
        <message>
            <source>start it, then press Colorize again</source>
            <translation>démarrez-le, puis appuyez de nouveau sur Coloriser</translation>
        </message>
        <message>
            <source>the engine was lost twice during this job</source>
            <translation>le moteur a été perdu deux fois pendant ce travail</translation>
        </message>
        <message>
            <source>Krita is closing the connection to the engine</source>
            <translation>Krita ferme la connexion au moteur</translation>
        </message>
        <message>
            <source>something went wrong in the engine</source>
            <translation>un problème est survenu dans le moteur</translation>
        </message>
        <message>
            <source>the engine does not understand the plugin: {message}</source>
            <translation>le moteur ne comprend pas le module : {message}</translation>
        </message>
        <message>
            <source>the engine reports an error ({code})</source>
            <translation>le moteur signale une erreur ({code})</translation>
        </message>
        <message>
            <source>the engine finds no weights, which hold what a model has learned</source>
            <translation>le moteur ne trouve pas de poids, qui contiennent ce qu’un modèle a appris</translation>
        </message>
        <message>
            <source>run colorize-install again, or put the weights into the engine's folder and start it again</source>
            <translation>relancez colorize-install, ou mettez les poids dans le dossier du moteur et redémarrez-le</translation>
        </message>
        <message>
            <source>the engine has ended</source>
            <translation>le moteur s’est terminé</translation>
        </message>
        <message>
            <source>the connection to the engine broke</source>
            <translation>la connexion au moteur s’est rompue</translation>
        </message>
        <message>
            <source>another engine has taken over</source>
            <translation>un autre moteur a pris le relais</translation>
        </message>
        <message>
            <source>the engine is lost</source>
            <translation>le moteur est perdu</translation>
        </message>
        <message>
            <source>Copy report</source>
            <translation>Copier le rapport</translation>
        </message>
        <message>
            <source>Colorize</source>
            <translation>Colorize</translation>
        </message>
        <message>
            <source>Colorize: continue from here</source>
            <translation>Colorize : continuer d’ici</translation>
        </message>
        <message>
            <source>Colorize: new colouring set</source>
            <translation>Colorize : nouveau jeu de calques</translation>
        </message>
        <message>
            <source>Colorize: live on or off</source>
            <translation>Colorize : en direct, activer ou non</translation>
        </message>
        <message>
            <source>Colorize: cancel</source>
            <translation>Colorize : annuler</translation>
        </message>
        <message>
            <source>Colorize cannot be loaded: {error}</source>
            <translation>Impossible de charger Colorize : {error}</translation>
        </message>
        <message>
            <source>Run colorize-install again; if that does not help, copy the report and send it to us.</source>
            <translation>Relancez colorize-install ; si cela n’aide pas, copiez le rapport et envoyez-le-nous.</translation>
        </message>
        <message>
            <source>Results</source>
            <translation>Résultats</translation>
        </message>
        <message>
            <source>{caption}, in the picture</source>
            <translation>{caption}, dans l’image</translation>
        </message>
        <message>
            <source>In the picture</source>
            <translation>Dans l’image</translation>
        </message>
        <message>
            <source>Click to put it into the picture</source>
            <translation>Cliquez pour le mettre dans l’image</translation>
        </message>
        <message>
            <source>Dismiss this message</source>
            <translation>Fermer ce message</translation>
        </message>
        <message>
            <source>Dismiss</source>
            <translation>Fermer</translation>
        </message>
        <message>
            <source>Error</source>
            <translation>Erreur</translation>
        </message>
        <message>
            <source>Message</source>
            <translation>Message</translation>
        </message>
        <message>
            <source>Layers: flats and shading</source>
            <translation>Calques : aplats et ombres</translation>
        </message>
        <message>
            <source>One layer</source>
            <translation>Un seul calque</translation>
        </message>
        <message>
            <source>Take another seed</source>
            <translation>Prendre une autre graine</translation>
        </message>
        <message>
            <source>Another seed</source>
            <translation>Autre graine</translation>
        </message>
        <message>
            <source>Mo&amp;del</source>
            <translation>&amp;Modèle</translation>
        </message>
        <message>
            <source>The model that colours</source>
            <translation>Le modèle qui met en couleurs</translation>
        </message>
        <message>
            <source>Result</source>
            <translation>Résultat</translation>
        </message>
        <message>
            <source>Flats and shading as layers of a group, or one layer</source>
            <translation>Aplats et ombres en calques d’un groupe, ou un seul calque</translation>
        </message>
        <message>
            <source>{n} variations</source>
            <translation>{n} variantes</translation>
        </message>
        <message>
            <source>Layers</source>
            <translation>Calques</translation>
        </message>
        <message>
            <source>Which layers are the lineart, the hints, the mask and the context</source>
            <translation>Quels calques sont le trait, les touches, le masque et le contexte</translation>
        </message>
        <message>
            <source>Options</source>
            <translation>Options</translation>
        </message>
        <message>
            <source>Model, kind of result and what else the model can do</source>
            <translation>Modèle, forme du résultat et autres possibilités du modèle</translation>
        </message>
        <message>
            <source>The results of this session; click one to put it into the picture</source>
            <translation>Les résultats de cette session ; cliquez sur l’un d’eux pour le mettre dans l’image</translation>
        </message>
        <message>
            <source>&amp;Colorize</source>
            <translation>&amp;Coloriser</translation>
        </message>
        <message>
            <source>Colour the lineart by the hints, as one step to undo</source>
            <translation>Mettre le trait en couleurs d’après les touches, en une seule étape d’annulation</translation>
        </message>
        <message>
            <source>Live</source>
            <translation>En direct</translation>
        </message>
        <message>
            <source>Colour again after each stroke and show it as a preview here</source>
            <translation>Recoloriser après chaque coup de pinceau et montrer l’aperçu ici</translation>
        </message>
        <message>
            <source>Also in a layer</source>
            <translation>Aussi dans un calque</translation>
        </message>
        <message>
            <source>Show what live colours in one layer of the picture as well</source>
            <translation>Montrer aussi les couleurs en direct dans un calque de l’image</translation>
        </message>
        <message>
            <source>C&amp;ontinue from here</source>
            <translation>Contin&amp;uer d’ici</translation>
        </message>
        <message>
            <source>Colour the masked part anew, with the present picture as context</source>
            <translation>Remettre en couleurs la partie masquée, avec l’image actuelle comme contexte</translation>
        </message>
        <message>
            <source>Open a drawing to colour it.</source>
            <translation>Ouvrez un dessin pour le mettre en couleurs.</translation>
        </message>
        <message>
            <source>Select the layer with your lines, press New colouring set, then draw a few colour strokes.</source>
            <translation>Sélectionnez le calque de votre trait, appuyez sur Nouveau jeu de calques, puis tracez quelques touches de couleur.</translation>
        </message>
        <message>
            <source>Choose the layer with your lines as lineart.</source>
            <translation>Choisissez le calque de votre trait.</translation>
        </message>
        <message>
            <source>Press New colouring set, then draw a few colour strokes.</source>
            <translation>Appuyez sur Nouveau jeu de calques, puis tracez quelques touches de couleur.</translation>
        </message>
        <message>
            <source>{name} (hidden)</source>
            <translation>{name} (masqué)</translation>
        </message>
        <message>
            <source>Line&amp;art</source>
            <translation>&amp;Trait</translation>
        </message>
        <message>
            <source>The layer with your lines: a paint layer, a vector layer or a whole group</source>
            <translation>Le calque de votre trait : un calque de peinture, un calque vectoriel ou un groupe entier</translation>
        </message>
        <message>
            <source>Choose a layer</source>
            <translation>Choisissez un calque</translation>
        </message>
        <message>
            <source>Hints</source>
            <translation>Touches</translation>
        </message>
        <message>
            <source>The layer with your colour strokes</source>
            <translation>Le calque de vos touches de couleur</translation>
        </message>
        <message>
            <source>None</source>
            <translation>Aucun</translation>
        </message>
        <message>
            <source>Mas&amp;k</source>
            <translation>Mas&amp;que</translation>
        </message>
        <message>
            <source>Where to colour: what is painted on this layer in any colour, or the selection. Nothing else changes</source>
            <translation>Où mettre en couleurs : ce qui est peint sur ce calque, quelle que soit la couleur, ou la sélection. Rien d’autre ne change</translation>
        </message>
        <message>
            <source>Everywhere</source>
            <translation>Partout</translation>
        </message>
        <message>
            <source>Selection</source>
            <translation>Sélection</translation>
        </message>
        <message>
            <source>Conte&amp;xt</source>
            <translation>Conte&amp;xte</translation>
        </message>
        <message>
            <source>What is painted already and guides the new colours</source>
            <translation>Ce qui est déjà peint et guide les nouvelles couleurs</translation>
        </message>
        <message>
            <source>Everything below the lineart</source>
            <translation>Tout ce qui est sous le trait</translation>
        </message>
        <message>
            <source>New colo&amp;uring set</source>
            <translation>Nouveau &amp;jeu de calques</translation>
        </message>
        <message>
            <source>Add a group with a layer for hints and a layer for the mask above the lineart</source>
            <translation>Ajouter au-dessus du trait un groupe avec un calque pour les touches et un calque pour le masque</translation>
        </message>
        <message>
            <source>Preview</source>
            <translation>Aperçu</translation>
        </message>
        <message>
            <source>Preview of the newest colouring</source>
            <translation>Aperçu de la dernière mise en couleurs</translation>
        </message>
        <message>
            <source>open</source>
            <translation>ouvert</translation>
        </message>
        <message>
            <source>closed</source>
            <translation>fermé</translation>
        </message>
        <message>
            <source>Automatic</source>
            <translation>Automatique</translation>
        </message>
        <message>
            <source>CPU</source>
            <translation>processeur</translation>
        </message>
        <message>
            <source>graphics card</source>
            <translation>carte graphique</translation>
        </message>
        <message>
            <source>graphics chip</source>
            <translation>puce graphique</translation>
        </message>
        <message>
            <source>almost done</source>
            <translation>presque fini</translation>
        </message>
        <message>
            <source>about {n} s</source>
            <translation>environ {n} s</translation>
        </message>
        <message>
            <source>about {n} min</source>
            <translation>environ {n} min</translation>
        </message>
        <message>
            <source>Starting...</source>
            <translation>Démarrage...</translation>
        </message>
        <message>
            <source>Ready</source>
            <translation>Prêt</translation>
        </message>
        <message>
            <source>Ready ({device})</source>
            <translation>Prêt ({device})</translation>
        </message>
        <message>
            <source>Lost: {cause}</source>
            <translation>Perdu : {cause}</translation>
        </message>
        <message>
            <source>Lost</source>
            <translation>Perdu</translation>
        </message>
        <message>
            <source>Cannot start: {cause}</source>
            <translation>Démarrage impossible : {cause}</translation>
        </message>
        <message>
            <source>Cannot start</source>
            <translation>Démarrage impossible</translation>
        </message>
        <message>
            <source>Off</source>
            <translation>Arrêté</translation>
        </message>
        <message>
            <source>{n} %</source>
            <translation>{n} %</translation>
        </message>
        <message>
            <source>{n} more waiting</source>
            <translation>{n} en attente</translation>
        </message>
        <message>
            <source>Colouring: {stage}</source>
            <translation>Mise en couleurs : {stage}</translation>
        </message>
        <message>
            <source>Colouring</source>
            <translation>Mise en couleurs</translation>
        </message>
        <message>
            <source>Busy</source>
            <translation>En cours</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>Annuler</translation>
        </message>
        <message>
            <source>Stop this colouring; the picture stays as it is</source>
            <translation>Arrêter cette mise en couleurs ; l’image reste telle quelle</translation>
        </message>
        <message>
            <source>Engine, frames, manual</source>
            <translation>Moteur, images d’animation, manuel</translation>
        </message>
        <message>
            <source>More</source>
            <translation>Plus</translation>
        </message>
        <message>
            <source>Progress</source>
            <translation>Progression</translation>
        </message>
        <message>
            <source>Start a&amp;gain</source>
            <translation>Re&amp;démarrer</translation>
        </message>
        <message>
            <source>Start the engine again</source>
            <translation>Redémarrer le moteur</translation>
        </message>
        <message>
            <source>Co&amp;py report</source>
            <translation>Co&amp;pier le rapport</translation>
        </message>
        <message>
            <source>Copy what happened to the clipboard, to ask for help with</source>
            <translation>Copier ce qui s’est passé dans le presse-papiers, pour demander de l’aide</translation>
        </message>
        <message>
            <source>Colour frames...</source>
            <translation>Mettre des images en couleurs...</translation>
        </message>
        <message>
            <source>Colour a range of animation frames</source>
            <translation>Mettre en couleurs une suite d’images d’animation</translation>
        </message>
        <message>
            <source>Remove older results</source>
            <translation>Supprimer les anciens résultats</translation>
        </message>
        <message>
            <source>Remove the result layers but the latest</source>
            <translation>Supprimer les calques de résultat, sauf le dernier</translation>
        </message>
        <message>
            <source>Start the engine now; Colorize starts it by itself too</source>
            <translation>Démarrer le moteur maintenant ; Coloriser le démarre aussi de lui-même</translation>
        </message>
        <message>
            <source>Start engine</source>
            <translation>Démarrer le moteur</translation>
        </message>
        <message>
            <source>Stop engine</source>
            <translation>Arrêter le moteur</translation>
        </message>
        <message>
            <source>Stop the engine and free its memory</source>
            <translation>Arrêter le moteur et libérer sa mémoire</translation>
        </message>
        <message>
            <source>Choose the Python that runs the engine</source>
            <translation>Choisir le Python qui fait tourner le moteur</translation>
        </message>
        <message>
            <source>Engine's Python...</source>
            <translation>Python du moteur...</translation>
        </message>
        <message>
            <source>Copy the state of the engine to the clipboard, to ask for help with</source>
            <translation>Copier l’état du moteur dans le presse-papiers, pour demander de l’aide</translation>
        </message>
        <message>
            <source>Manual</source>
            <translation>Manuel</translation>
        </message>
        <message>
            <source>Open the manual page in the browser</source>
            <translation>Ouvrir le manuel dans le navigateur</translation>
        </message>
        <message>
            <source>The engine starts by itself with the first colouring</source>
            <translation>Le moteur démarre de lui-même à la première mise en couleurs</translation>
        </message>
        <message>
            <source>Detail</source>
            <translation>Détail</translation>
        </message>
        <message>
            <source>Short side of the picture that the model works on. Larger sees finer detail and takes longer</source>
            <translation>Petit côté de l’image sur laquelle le modèle travaille. Plus grand, il voit plus de détails et prend plus de temps</translation>
        </message>
        <message>
            <source> px</source>
            <translation> px</translation>
        </message>
        <message>
            <source>Seed</source>
            <translation>Graine</translation>
        </message>
        <message>
            <source>The same seed gives the same result again; another one a different result</source>
            <translation>La même graine redonne le même résultat ; une autre en donne un différent</translation>
        </message>
        <message>
            <source>Shade</source>
            <translation>Ombres</translation>
        </message>
        <message>
            <source>How strong light and shade are: 0 % is flat colours alone, 100 % as the model has learned</source>
            <translation>Intensité de l’ombre et de la lumière : à 0 %, les aplats seuls ; à 100 %, comme le modèle l’a appris</translation>
        </message>
        <message>
            <source> %</source>
            <translation> %</translation>
        </message>
        <message>
            <source>Gap size</source>
            <translation>Trous</translation>
        </message>
        <message>
            <source>The widest gap in a line that is closed, in pixels of the image: raise it where colour leaks, lower it where an opening is meant. 0 closes none</source>
            <translation>Le plus large trou du trait qui est fermé, en pixels de l’image : augmentez-le si la couleur fuit, réduisez-le si une ouverture est voulue. 0 n’en ferme aucun</translation>
        </message>
        <message>
            <source>Edges</source>
            <translation>Bords</translation>
        </message>
        <message>
            <source>How two colours meet where no line hides it: crisp, so that each can be selected whole, or smooth, without steps under thin or pale lines</source>
            <translation>Comment deux couleurs se rencontrent là où aucun trait ne le cache : bords nets, pour pouvoir sélectionner chacune en entier, ou lissés, sans marches d’escalier sous les traits fins ou pâles</translation>
        </message>
        <message>
            <source>Crisp</source>
            <translation>Nets</translation>
        </message>
        <message>
            <source>Smooth</source>
            <translation>Lissés</translation>
        </message>
        <message>
            <source>Strength</source>
            <translation>Force</translation>
        </message>
        <message>
            <source>How far the model may go from its best guess: 0 % is the guess itself, 100 % is free</source>
            <translation>Jusqu’où le modèle peut s’écarter de sa meilleure estimation : 0 % la donne telle quelle, 100 % le laisse libre</translation>
        </message>
        <message>
            <source>Steps</source>
            <translation>Passes</translation>
        </message>
        <message>
            <source>Rounds that the model takes. More is slower and often cleaner</source>
            <translation>Nombre de passes du modèle. Plus il y en a, plus c’est lent et souvent net</translation>
        </message>
        <message>
            <source>Guidance</source>
            <translation>Fidélité</translation>
        </message>
        <message>
            <source>How closely the model keeps to your hints: 1 as it has learned to; any other takes twice as long</source>
            <translation>À quel point le modèle suit vos touches : 1 comme il l’a appris ; toute autre valeur prend deux fois plus de temps</translation>
        </message>
        <message>
            <source>Variations</source>
            <translation>Variantes</translation>
        </message>
        <message>
            <source>How many different results to make</source>
            <translation>Nombre de résultats différents à produire</translation>
        </message>
    </context>
</TS>
